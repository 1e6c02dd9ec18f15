//! The answers of an orchestrator that stands by while another one acts.

use axum::Router;
use axum::middleware::from_fn;
use tokio::sync::watch;

use crate::problem::{self, ApiError};
use crate::wire::ProblemKind;

/// Returns a router that answers every request with a problem of the kind
/// [`ProblemKind::StandsBy`], and the last text of the channel, which says who acts. Serve it with
/// [`serve_unix`](super::serve_unix).
pub fn standby_router(who: watch::Receiver<String>) -> Router {
    let answer = move || {
        let error = ApiError::new(ProblemKind::StandsBy, who.borrow().clone());
        std::future::ready(error)
    };
    Router::new().fallback(answer).layer(from_fn(problem::render_problem))
}
