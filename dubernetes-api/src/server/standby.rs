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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::wire::Problem;

    #[tokio::test]
    async fn every_answer_says_who_acts() {
        let (who, receiver) = watch::channel("node `a` acts".to_owned());
        for node in ["a", "b"] {
            let text = format!("node `{node}` acts");
            who.send_replace(text.clone());
            let request = Request::put("/v1/apps/web").body(Body::empty()).unwrap();
            let answer = standby_router(receiver.clone()).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 503);
            let body = to_bytes(answer.into_body(), 4096).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert!(problem.is(ProblemKind::StandsBy) && problem.detail == text, "{problem:?}");
        }
    }
}
