"""Reads a document from standard input and compares it with the shape that users already read.

Every field of the shape must be there with its type; more may be. Prints what is wrong, a line each.
"""

import json
import re
import sys

SHAPE = json.loads("""
{
  "services": {
    "flask_web": {
      "key": "flask_web", "name": "Flask Web", "ok": true,
      "http": {"ok": true, "status_code": 200, "latency_ms": 45},
      "port": {"ok": true},
      "systemd": {"state": "active"},
      "process": {"count": 2},
      "last_checked": "2025-10-27T12:00:00Z"
    }
  },
  "ok_count": 3, "fail_count": 0, "total": 3, "mode": "production_monitoring"
}
""")


def compare(shape, found, place):
    # A bool is an int to Python; to a script in another language it is not.
    if type(shape) is not type(found):
        yield f"{place}: {found!r} is not like {shape!r}"
    elif isinstance(shape, dict):
        for name, value in shape.items():
            if name in found:
                yield from compare(value, found[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is missing"


def wrong(document):
    service_shape = SHAPE["services"]["flask_web"]
    yield from compare({**SHAPE, "services": {}}, document, "document")
    if not document["services"]:
        yield "there are no services"
    for key, service in document["services"].items():
        yield from compare(service_shape, service, key)
        if service["key"] != key:
            yield f"{key}: its key is {service['key']}"
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", str(service["last_checked"])):
            yield f"{key}: last_checked {service['last_checked']}"
    if document["total"] != len(document["services"]):
        yield f"total is {document['total']}"
    if document["ok_count"] + document["fail_count"] != document["total"]:
        yield "ok_count + fail_count is not total"


faults = list(wrong(json.load(sys.stdin)))
print("\n".join(faults))
sys.exit(bool(faults))
