//! `/health` and `/health/detailed`: whether all is well, for load balancers, uptime checkers and scripts.
//!
//! 200 only while a monitor is at work and every service that counts is ok. Which ones count is the caller's choice:
//! `?services=a,b`. One that does not exist is 404, and no pass.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Problem, Request, Response};
use super::routes::no_such_service;
use super::source::{Data, Snapshot};
use crate::status::{State, Timestamp};

/// Whether all is well.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    status: Status,
    /// How many services are ok, or why it cannot be told.
    reason: String,
}

/// The same with every service that counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DetailedHealth {
    #[serde(flatten)]
    health: Health,
    /// How far the figures can be believed.
    #[schemars(extend("enum" = Data::WORDS))]
    data: &'static str,
    /// The worst state of the services that count; `unknown` when the figures cannot be believed.
    overall: State,
    /// When the figures were made; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    generated_at: Option<Timestamp>,
    /// How old they are, in seconds; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// The services that count, by key: what was last believed of them.
    services: IndexMap<String, ServiceHealth>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Fail,
}

/// One service, by what every document has.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct ServiceHealth {
    /// The name for people.
    name: String,
    /// The verdict.
    ok: bool,
    /// What is believed of the service.
    state: State,
    /// Since when it is in this state.
    since: Timestamp,
    /// Why, in words. Absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `/health`
pub(super) fn health(snapshot: &Snapshot, request: &Request) -> Result<Response, Problem> {
    let (total, failing) = match wanted(request) {
        // What a load balancer asks every second is answered without a look at the services.
        None => (snapshot.document.total, snapshot.document.fail_count),
        Some(_) => counts(&services(snapshot, request)?),
    };
    let health = Health::new(snapshot, total, failing);
    Ok(Response::json(health.code(), &health))
}

/// `/health/detailed`
pub(super) fn detailed(snapshot: &Snapshot, request: &Request) -> Result<Response, Problem> {
    let services = services(snapshot, request)?;
    let (total, failing) = counts(&services);
    let health = Health::new(snapshot, total, failing);
    let worst = services.values().map(|service| service.state).min();
    let detailed = DetailedHealth {
        data: snapshot.data.as_str(),
        overall: worst.filter(|_| !snapshot.data.is_stale()).unwrap_or(State::Unknown),
        generated_at: snapshot.age_s.map(|_| snapshot.document.head.generated_at),
        age_s: snapshot.age_s,
        services,
        health,
    };
    Ok(Response::json(detailed.health.code(), &detailed))
}

impl Health {
    fn new(snapshot: &Snapshot, total: u32, failing: u32) -> Health {
        let problem = if !snapshot.data.is_fresh() {
            Some(snapshot.reason.clone().unwrap_or_default())
        } else if total == 0 {
            Some("no services are configured".to_owned())
        } else if failing > 0 {
            Some(format!("{failing} of {total} services are not ok"))
        } else {
            None
        };
        match problem {
            Some(reason) => Health { status: Status::Fail, reason },
            None => Health { status: Status::Ok, reason: format!("{total} of {total} services are ok") },
        }
    }

    fn code(&self) -> u16 {
        if self.status == Status::Ok { 200 } else { 503 }
    }
}

/// The keys in `?services=a,b`; none when all count.
fn wanted(request: &Request) -> Option<Vec<String>> {
    let listed = request.query("services")?;
    Some(listed.split(',').map(|key| key.trim().to_owned()).collect())
}

/// The services that count. Without data nobody can tell whether one exists.
fn services(snapshot: &Snapshot, request: &Request) -> Result<IndexMap<String, ServiceHealth>, Problem> {
    if snapshot.data == Data::None {
        return Ok(IndexMap::new());
    }
    let all = snapshot.document.services();
    let keys = wanted(request).unwrap_or_else(|| all.keys().cloned().collect());
    let health = |key: String| {
        let written = all.get(&key).ok_or_else(|| no_such_service(&key, &all))?;
        let service = serde_json::from_str(written.get()).map_err(|error| {
            let hint = "run the same version of monitor and viewer";
            Problem::new(500, format!("the service {key} cannot be understood: {error}"), hint)
        })?;
        Ok((key, service))
    };
    keys.into_iter().map(health).collect()
}

fn counts(services: &IndexMap<String, ServiceHealth>) -> (u32, u32) {
    let failing = services.values().filter(|service| !service.ok).count();
    // A document of 64 MiB holds fewer than that.
    (services.len() as u32, failing as u32)
}
