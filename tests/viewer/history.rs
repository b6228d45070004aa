//! The past, as the monitor wrote it down.

use serde_json::{Value, json};

use crate::stage::{Stage, document};

/// It is noon on 2025-10-27. `web` was down for half of the hour before this one, and well on the day before.
pub(crate) fn stage() -> Stage {
    let stage = Stage::with(&document(&["web", "we"]));
    let folder = stage.folder.path().join("history");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    // The number of the hour that begins at noon.
    let noon = 489_324;
    write("2025-10-26.jsonl", "{\"service\":\"web\",\"worst\":\"up\",\"hours\":[[0,24,3600]]}\n".into());
    write(
        "2025-10-27.jsonl",
        "half a li\n{\"service\":\"we\",\"hours\":[[0,12,0,3600]]}\n\
         {\"service\":\"web\",\"worst\":\"down\",\"hours\":[[0,11,3600],[11,1,1800,1800,0,2,1]]"
            .to_owned()
            + &format!(",\"latency\":[[{},100,7,9],[{},300,10,12,100,30,80]]}}\n", noon - 24, noon - 2),
    );
    let change = |service: &str, at: &str, to: &str| {
        format!("{{\"service\":\"{service}\",\"at\":\"{at}\",\"from\":\"unknown\",\"to\":\"{to}\"}}\n")
    };
    write(
        "transitions.jsonl",
        change("web", "2025-10-26T11:00:00Z", "up")
            + &change("web", "2025-10-27T11:00:00Z", "down")
            + &change("we", "2025-10-27T11:00:00Z", "down")
            + &change("web", "2025-10-27T11:30:00Z", "up"),
    );
    let incident = json!({"id": "20251027T110020Z-web", "service": "web", "began": "2025-10-27T11:00:00Z",
        "detected": "2025-10-27T11:00:20Z", "ended": "2025-10-27T11:30:00Z", "cause": "port: refused",
        "outcome": "well again", "heals": []});
    let mut other = incident.clone();
    other["service"] = json!("we");
    other.as_object_mut().unwrap().remove("ended");
    write("incidents.json", json!([incident, other]).to_string());
    stage
}

#[test]
fn the_past_of_a_service_has_its_days_hours_failures_changes_and_incidents() {
    let stage = stage();
    let viewer = stage.run();
    let reply = viewer.get("/api/history/web");
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("application/json")));
    let past = reply.json();
    assert_eq!((&past["stale"], &past["key"]), (&json!(false), &json!("web")));
    let days = past["days"].as_array().unwrap();
    assert_eq!(days.len(), 90);
    assert_eq!(days[0], json!({"from": "2025-07-30T00:00:00Z", "known": 0.0}), "nobody watched then");
    assert_eq!(days[88], json!({"from": "2025-10-26T00:00:00Z", "ratio": 1.0, "known": 1.0, "worst": "up"}));
    assert_eq!(
        days[89],
        json!({"from": "2025-10-27T00:00:00Z", "ratio": 0.95833, "known": 1.0, "worst": "down", "restarts": 2,
            "heals": 1})
    );
    let hours = past["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    assert_eq!((&hours[22]["ratio"], &hours[23]["known"]), (&json!(0.5), &json!(0.0)));
    let latency = &past["latency"];
    assert_eq!(
        (&latency["mean_ms"], &latency["max_ms"]),
        (&json!(15), &json!(80)),
        "of each probe, not of each hour"
    );
    let mut hours_ms = vec![Value::Null; 24];
    (hours_ms[21], hours_ms[22]) = (json!(10), json!(30));
    assert_eq!(latency["hours_ms"], json!(hours_ms), "the one before yesterday's noon is over");
    assert_eq!(
        past["failures"]["24h"],
        json!({"incidents": 1, "mean_time_to_detect_s": 20.0, "mean_time_to_recover_s": 1800.0, "heals": 1,
            "restarts": 2, "restarts_an_hour": 0.13})
    );
    let at: Vec<&Value> =
        past["transitions"].as_array().unwrap().iter().map(|transition| &transition["at"]).collect();
    assert_eq!(at, ["2025-10-27T11:30:00Z", "2025-10-27T11:00:00Z"], "those of a day, newest first");
    let incidents = past["incidents"].as_array().unwrap();
    assert_eq!((incidents.len(), &incidents[0]["time_to_recover_s"]), (1, &json!(1800)));

    let tag = reply.header("ETag").unwrap();
    assert_eq!(viewer.get_with("/api/history/web", &format!("If-None-Match: {tag}")).status, 304);
}

#[test]
fn incidents_are_told_with_their_times_and_without_evidence() {
    let stage = stage();
    let told = stage.run().get("/api/incidents").json();
    let incidents = told["incidents"].as_array().unwrap();
    let times: Vec<_> = incidents
        .iter()
        .map(|incident| (incident["time_to_detect_s"].as_u64(), incident["time_to_recover_s"].as_u64()))
        .collect();
    assert_eq!(times, [(Some(20), Some(1800)), (Some(20), None)]);
    assert_eq!(told["viewer"]["data"], "fresh");
}

#[test]
fn without_a_past_it_is_empty_and_never_up() {
    let stage = Stage::with(&document(&["web"]));
    let viewer = stage.run();
    let past = viewer.get("/api/history/web").json();
    assert!(
        past["days"].as_array().unwrap().iter().all(|day| day.get("ratio").is_none() && day["known"] == 0.0)
    );
    assert_eq!(past["failures"]["30d"], json!({"incidents": 0, "heals": 0, "restarts": 0}));
    assert_eq!(past.get("latency"), None);
    assert_eq!(viewer.get("/api/incidents").json()["incidents"], json!([]));
}

#[test]
fn no_key_leads_out_of_the_folder_and_an_unknown_one_is_answered_with_the_nearest() {
    let stage = stage();
    let viewer = stage.run();
    for key in ["..", "../status.json", "%2e%2e%2fstatus.json", "incidents.json", ""] {
        assert_eq!(viewer.get(&format!("/api/history/{key}")).status, 404, "{key}");
    }
    let reply = viewer.get("/api/history/webb");
    assert!(reply.status == 404 && reply.body.contains("did you mean"), "{}", reply.body);
    assert_eq!(Stage::new().run().get("/api/history/web").status, 503, "there is no document at all");
}

#[test]
fn an_answer_that_was_made_before_is_given_until_a_file_is_another_and_to_nobody_else() {
    let stage = stage();
    let viewer = stage.run();
    let days = |path: &str| viewer.get(path).json()["days"].clone();
    let (web, we) = (days("/api/history/web"), days("/api/history/we"));
    assert_ne!(web, we);
    assert_eq!((days("/api/history/web"), days("/api/history/we")), (web, we.clone()));
    let path = stage.folder.path().join("history/2025-10-27.jsonl");
    std::fs::write(path, "{\"service\":\"web\",\"hours\":[[0,12,0,3600]]}\n").unwrap();
    assert_eq!(days("/api/history/web")[89]["ratio"], 0.0, "the clock stands still, the file does not");
    assert_eq!(days("/api/history/we")[89].get("ratio"), None);
    let tag = viewer.get("/api/incidents").header("ETag").unwrap().to_owned();
    std::fs::write(stage.folder.path().join("history/incidents.json"), "[]").unwrap();
    let reply = viewer.get_with("/api/incidents", &format!("If-None-Match: {tag}"));
    assert_eq!((reply.status, &reply.json()["incidents"]), (200, &json!([])));
}
