//! What a pass records: events of results, once each, in the store and in the log.

use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::error;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::ingress::{ApplyOutcome, IngressError, RouteTable, UrlPorts};
use dubernetes_core::runtime::RuntimeError;

use crate::events;
use crate::meter::{Measurement, ProbeOutcome, RoutesOutcome};
use crate::snapshot::Mode;
use crate::tasks::TaskResult;

use super::Pass;

impl Pass {
    /// Measures what a result means.
    pub(super) fn measure(&self, result: &TaskResult) {
        let measurement = match result {
            TaskResult::Acted(planned, Ok(_)) => Measurement::of_action(planned),
            TaskResult::Routed(_, result) => {
                Some(Measurement::Routes { outcome: RoutesOutcome::of(result) })
            }
            TaskResult::Probed(spec, answer) => {
                let outcome = match answer.as_ref().map(|answer| spec.failure(answer)) {
                    Ok(None) => ProbeOutcome::Success,
                    Ok(Some(_)) => ProbeOutcome::Failure,
                    Err(_) => ProbeOutcome::NotSent,
                };
                Some(Measurement::Probe { app: &spec.app, outcome })
            }
            TaskResult::Acted(_, Err(_))
            | TaskResult::Observed(_)
            | TaskResult::Repaired(_)
            | TaskResult::Drained(..)
            | TaskResult::Event(_)
            | TaskResult::EventsLost
            | TaskResult::Approved(..) => None,
        };
        if let Some(measurement) = measurement {
            self.options.meter.record(&measurement);
        }
    }

    /// Measures the pass that has just ended.
    pub(super) fn measure_pass(&self) {
        let took = self.observing_from.elapsed();
        self.options.meter.record(&Measurement::Pass { took, snapshot: &self.last });
    }

    /// Records the event of a result, as soon as it comes.
    pub(super) fn record_result(&mut self, result: &TaskResult) {
        let now = self.clock.now();
        if let TaskResult::Acted(planned, result) = result {
            let event = match result {
                Ok(_) => events::action_succeeded(planned, now),
                Err(error) => Some(events::action_failed(planned, &error.message, now)),
            };
            self.record(event.into_iter().collect());
        } else if let TaskResult::Routed(table, Ok(outcome)) = result {
            self.record_routes(table, outcome);
        } else if let TaskResult::Routed(_, Err(error)) = result {
            let reason = EventReason::IngressFailed;
            let message = error::chain(error);
            self.record(vec![events::of_instance(now, EventKind::Warning, reason, message)]);
        }
    }

    fn record_routes(&mut self, table: &RouteTable, outcome: &ApplyOutcome) {
        let now = self.clock.now();
        let before = self.table_before_apply.take();
        let ports = UrlPorts { http: self.options.http_port, https: self.https_port };
        let mut news = events::routes_changed(before.as_ref(), table, ports, now);
        let ApplyOutcome { quarantined, unpublished, .. } = outcome;
        let is_served =
            |app: &AppName| !quarantined.contains_key(app) && !unpublished.contains_key(app);
        news.retain(|event| event.app.as_ref().is_none_or(is_served));
        let warnings = outcome.warnings.iter();
        news.extend(warnings.map(|warning| {
            let reason = EventReason::IngressWarning;
            events::of_instance(now, EventKind::Warning, reason, warning.clone())
        }));
        news.extend(quarantined.iter().map(|(app, text)| {
            let message = quarantine_message(text);
            events::of_app(now, EventKind::Warning, app, EventReason::Quarantined, message)
        }));
        news.extend(unpublished.iter().map(|(app, text)| {
            let message = unpublished_message(text);
            events::of_app(now, EventKind::Warning, app, EventReason::IngressFailed, message)
        }));
        self.record(news);
    }

    /// Records that the ingress was repaired, or could not be.
    pub(super) fn record_repair(&mut self, result: Result<Option<String>, IngressError>) {
        let (reason, message) = match result {
            Ok(None) => return,
            Ok(Some(what)) => (EventReason::IngressRepaired, what),
            // What runs goes on to serve.
            Err(IngressError::Runtime(error @ RuntimeError::Image { .. })) => {
                let why = error::chain(&error);
                let message = format!("the ingress keeps its former settings: {why}");
                (EventReason::IngressWarning, message)
            }
            Err(error @ IngressError::Runtime(_)) => {
                tracing::debug!(error = %error::chain(&error), "the ingress was not checked");
                return;
            }
            Err(error) => (EventReason::IngressFailed, error::chain(&error)),
        };
        let now = self.clock.now();
        self.record(vec![events::of_instance(now, EventKind::Warning, reason, message)]);
    }

    /// Queues events for the store, and writes each to the log.
    pub(super) fn record(&mut self, events: Vec<NewEvent>) {
        if events.is_empty() || self.options.mode == Mode::Observe {
            return;
        }
        for event in &events {
            let app = event.app.as_ref().map(AppName::as_str);
            let pod = event.pod.as_ref().map(PodName::as_str);
            let reason = event.reason.as_str();
            match event.kind {
                EventKind::Normal => tracing::info!(app, pod, reason, "{}", event.message),
                EventKind::Warning => tracing::warn!(app, pod, reason, "{}", event.message),
            }
        }
        self.events.write(events);
    }
}

/// Describes why an app keeps its last good routes.
pub(super) fn quarantine_message(text: &str) -> String {
    format!("its routes are quarantined: {text}")
}

/// Describes why the ports of an app are not published.
pub(super) fn unpublished_message(text: &str) -> String {
    format!("its ports are not published: {text}")
}
