//! Figures for Prometheus.
//!
//! Never knows: who collects them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::error::{Answer, Failure};
use super::guard::Caller;
use super::machines::{self, MachineText, Trouble};
use crate::Server;
use crate::rights::Right;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    machine: String,
}

/// Figures of all machines that whoever asks may see, as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, content_type = "application/openmetrics-text", body = String), (status = "4XX", body = Answer)))]
pub(crate) async fn metrics(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<impl IntoResponse, Failure> {
    let machines = machines::all(&server, |machine, vault| caller.may(Right::See, machine, vault)).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], figures(&machines, server.damage.is_some())))
}

type Figure = (&'static str, &'static str, fn(&MachineText) -> Option<i64>);

const FIGURES: [Figure; 5] = [
    ("point_age_seconds", "Seconds since the moment of the newest point", |m| m.age_seconds),
    ("point_promise_seconds", "Seconds from point to point that were promised", |m| {
        m.promise_seconds.and_then(|seconds| i64::try_from(seconds).ok())
    }),
    ("late", "No point for longer than was promised", |m| Some(m.trouble.contains(&Trouble::Late).into())),
    ("connected", "The agent is there", |m| Some(m.connected.into())),
    ("disk_bytes", "Bytes of the disks", |m| i64::try_from(m.disk_bytes).ok()),
];

fn figures(machines: &[MachineText], damaged: bool) -> String {
    let mut registry = Registry::with_prefix("backstay");
    for (name, help, of) in FIGURES {
        let family = Family::<Of, Gauge>::default();
        for machine in machines {
            if let Some(value) = of(machine) {
                family.get_or_create(&Of { machine: machine.name.clone() }).set(value);
            }
        }
        registry.register(name, help, family);
    }
    let damage = Gauge::<i64>::default();
    damage.set(damaged.into());
    registry.register("ledger_damaged", "The newest of the vault cannot be shown", damage);
    let mut text = String::new();
    encode(&mut text, &registry).expect("text can be written to memory");
    text
}
