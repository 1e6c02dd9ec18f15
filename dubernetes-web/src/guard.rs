//! Who may see and change what: the checks of every request, and the headers of every answer.
//!
//! A request must name the host of this page, so that no other name can be bound to it (421). What
//! another site causes is refused (403): such a request has another `Sec-Fetch-Site` or `Origin`.
//! Pages need the cookie that the link of the command sets once (401). A change needs, besides, the
//! token of its form, and is refused if pages are read-only (403).

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Site;
use crate::views::ErrorPage;

/// Host of the page. Browsers resolve it to loopback without a name server. Its cookies reach no
/// other name, while those of `localhost` or `127.0.0.1` reach every local web server.
pub const HOST: &str = "dubernetes.localhost";

/// The page that simulates a file. Its form changes nothing.
pub(crate) const SIMULATE: &str = "/simulate";

/// How long the link works.
const LINK_LIMIT: Duration = Duration::from_secs(300);
/// Random bytes in a token.
const TOKEN_BYTES: usize = 24;

/// Headers of every answer. `default-src 'none'` also rules out inline scripts and styles.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // `no-referrer` would make the origin of our own forms `null`.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Secrets of one run of the page, and its checks.
pub struct Guard {
    port: u16,
    read_only: bool,
    link: Mutex<Option<Link>>,
    session: String,
    form: String,
}

struct Link {
    token: String,
    until: Instant,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, read_only, .. } = self;
        f.debug_struct("Guard")
            .field("port", port)
            .field("read_only", read_only)
            .finish_non_exhaustive()
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It names another host.
    Host,
    /// Another site causes it.
    CrossSite,
    /// It has no valid cookie.
    LoggedOut,
    /// Pages are read-only.
    ReadOnly,
    /// The form has no valid token: it is from an earlier run.
    Form,
    /// The link was used, or is too old.
    Link,
}

impl Guard {
    /// Creates the secrets of a page at a port.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn new(port: u16, read_only: bool) -> io::Result<Self> {
        let link = Link { token: token()?, until: Instant::now() + LINK_LIMIT };
        let link = Mutex::new(Some(link));
        Ok(Self { port, read_only, link, session: token()?, form: token()? })
    }

    /// Returns the link that logs in a browser, or the address of the page if it was used.
    pub fn link(&self) -> String {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        match &*link {
            Some(link) => format!("http://{}/login?token={}", self.authority(), link.token),
            None => format!("http://{}/", self.authority()),
        }
    }

    /// Returns whether no page changes anything.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns the token that forms contain.
    pub(crate) fn form_token(&self) -> &str {
        &self.form
    }

    /// Checks the token of a form.
    ///
    /// # Errors
    ///
    /// [`Refusal::Form`].
    pub(crate) fn check_form(&self, token: &str) -> Result<(), Refusal> {
        if same(token, &self.form) { Ok(()) } else { Err(Refusal::Form) }
    }

    /// Checks a request, except for the token of a form.
    ///
    /// # Errors
    ///
    /// The first check that fails.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let authority = self.authority();
        let named = uri.authority().is_none_or(|named| named.as_str() == authority);
        if !named || text(header::HOST) != Some(authority.as_bytes()) {
            return Err(Refusal::Host);
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let origin = format!("http://{authority}");
        let own_origin = text(header::ORIGIN).map(|found| found == origin.as_bytes());
        let site = text(HeaderName::from_static("sec-fetch-site"));
        let mode = text(HeaderName::from_static("sec-fetch-mode"));
        let allowed = match site {
            Some(b"same-origin") => own_origin != Some(false),
            // Entered by the user, or opened by another program.
            Some(b"none") => reads,
            // A link elsewhere that the user has followed.
            Some(_) => reads && mode == Some(b"navigate"),
            None if reads => own_origin != Some(false),
            None => own_origin == Some(true),
        };
        if !allowed {
            return Err(Refusal::CrossSite);
        }
        if uri.path() == "/login" || uri.path().starts_with("/assets/") {
            return Ok(());
        }
        if !self.has_cookie(headers) {
            return Err(Refusal::LoggedOut);
        }
        let changes = !reads && uri.path() != SIMULATE;
        if changes && self.read_only { Err(Refusal::ReadOnly) } else { Ok(()) }
    }

    fn authority(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// Cookies are not separated by port, so each page has a name of its own.
    fn cookie_name(&self) -> String {
        format!("dubernetes-ui-{}", self.port)
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie_name();
        let values = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
        let mut pairs = values.flat_map(|value| value.split(';'));
        pairs.any(|pair| {
            let pair = pair.trim().split_once('=');
            pair.is_some_and(|(found, value)| found == name && same(value, &self.session))
        })
    }

    /// Uses up the link, and returns the cookie to set.
    fn use_link(&self, token: &str) -> Result<String, Refusal> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let is_valid = |link: &Link| Instant::now() < link.until && same(token, &link.token);
        if !link.as_ref().is_some_and(is_valid) {
            return Err(Refusal::Link);
        }
        *link = None;
        let name = self.cookie_name();
        Ok(format!("{name}={}; Path=/; HttpOnly; SameSite=Strict", self.session))
    }
}

/// Compares secrets. What an attacker could learn from the time is about their hashes.
fn same(left: &str, right: &str) -> bool {
    Sha256::digest(left) == Sha256::digest(right)
}

fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Query of the link.
#[derive(Debug, Deserialize)]
pub(crate) struct Login {
    token: String,
}

/// Exchanges the link for a cookie.
pub(crate) async fn log_in(State(site): State<Site>, Query(query): Query<Login>) -> Response {
    match site.guard.use_link(&query.token) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Checks a request before any page sees it, and adds the headers to its answer.
pub(crate) async fn check(State(site): State<Site>, request: Request, next: Next) -> Response {
    let checked = site.guard.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "Another address",
                "This page has one address: that of the link that `dubernetes ui` printed.",
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "Not from here",
                "Another site has caused this request, so nothing was done.",
            ),
            Self::LoggedOut => (
                StatusCode::UNAUTHORIZED,
                "Not logged in",
                "Open the link that `dubernetes ui` printed. It works once, in one browser. For \
                 another browser, end the command and start it again.",
            ),
            Self::ReadOnly => (
                StatusCode::FORBIDDEN,
                "Read-only",
                "`dubernetes ui --read-only` serves this page, so it changes nothing.",
            ),
            Self::Form => (
                StatusCode::FORBIDDEN,
                "Form from another time",
                "This form is not from the running `dubernetes ui`. Go back, reload the page, \
                 and send it again. Nothing was changed.",
            ),
            Self::Link => (
                StatusCode::UNAUTHORIZED,
                "The link does not work any more",
                "It works once, within five minutes. End `dubernetes ui`, start it again, and \
                 open its new link.",
            ),
        };
        ErrorPage::new(status, title, text).into_response()
    }
}
