//! Access control of the socket: the orchestrator's own user, and root.

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts as _, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::net::UnixStream;

use crate::problem::ApiError;
use crate::wire::ProblemKind;

/// User at the other end of a Unix socket; `None` if the kernel does not report it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    uid: Option<u32>,
}

impl Peer {
    pub(super) fn from_stream(stream: &UnixStream) -> Self {
        Self { uid: stream.peer_cred().ok().map(|peer| peer.uid()) }
    }
}

/// Layer that refuses all other users. A request that did not come over a socket has no peer.
pub(super) async fn require_same_user(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = ConnectInfo::<Peer>::from_request_parts(&mut parts, &()).await;
    if let Ok(ConnectInfo(peer)) = peer
        && !is_allowed(peer.uid, rustix::process::geteuid().as_raw())
    {
        let user = peer.uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
        tracing::warn!(uid = %user, path = parts.uri.path(), "refused a request of another user");
        let detail = format!("user {user} is not allowed to access this orchestrator");
        return ApiError::new(ProblemKind::Forbidden, detail).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

fn is_allowed(uid: Option<u32>, own: u32) -> bool {
    uid.is_some_and(|uid| uid == 0 || uid == own)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::extract::connect_info::MockConnectInfo;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn request_of_other_user_is_forbidden() {
        let own = rustix::process::geteuid().as_raw();
        for (peer, status) in [(own, 200), (0, 200), (own + 1, 403)] {
            let router = Router::new()
                .route("/", get(|| async { "reached" }))
                .layer(from_fn(require_same_user))
                .layer(MockConnectInfo(Peer { uid: Some(peer) }));
            let request = Request::get("/").body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{peer}");
        }
    }

    #[test]
    fn own_user_and_root_are_allowed() {
        for (uid, own, allowed) in [
            (Some(1000), 1000, true),
            (Some(0), 1000, true),
            (Some(1001), 1000, false),
            (Some(1000), 0, false),
            (None, 0, false),
        ] {
            assert_eq!(is_allowed(uid, own), allowed, "{uid:?} {own}");
        }
    }
}
