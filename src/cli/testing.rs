//! Documents for the tests of the commands.

use serde_json::{Value, json};

use crate::status::{Document, Timestamp};

/// `12:00:00` on the day of the tests.
pub(super) fn at(time: &str) -> Timestamp {
    serde_json::from_value(format!("2026-11-23T{time}Z").into()).unwrap()
}

/// A document of that moment with these services; what a service does not say is that of one that is up.
pub(super) fn document(time: &str, services: Value) -> Document {
    let services = services.as_object().unwrap().iter().map(|(key, given)| {
        let mut service = json!({"key": key, "name": key, "ok": true, "state": "up", "since": at("11:00:00"),
            "consecutive_failures": 0, "last_checked": at("11:59:55"), "next_check": at("12:00:05")});
        service.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        service.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        (key.clone(), service)
    });
    let document = json!({
        "schema": 1, "mode": "production_monitoring", "overall": "up", "ok_count": 1, "fail_count": 0, "total": 1,
        "generated_at": at(time), "sequence": 1, "boot_id": "this", "stale_after_s": 15,
        "host": {"name": "web1", "uptime_s": 1, "cpus": 1, "load": [0.0, 0.0, 0.0], "memory_total_bytes": 1,
            "memory_available_bytes": 1},
        "monitor": {"state": "running", "version": "0.1.0", "pid": 1, "started_at": at("03:00:00"),
            "config": {"loaded_at": at("03:00:00")}},
        "services": services.collect::<serde_json::Map<_, _>>(),
    });
    serde_json::from_value(document).unwrap()
}
