//! One request: to a replica, and its answer back.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::state::{Answered, Destination, InFlight, NO_REPLICA, State};

/// Time limit of one attempt to connect to a replica, which is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Number of replicas that are tried.
const TRIES: usize = 4;

/// Headers that are about one connection.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// The body of an answer.
pub(crate) type Answer = Response<Either<Counted, Full<Bytes>>>;

type Sent = Either<Incoming, Full<Bytes>>;

/// A body that keeps its request in flight, and counts it at its end.
#[derive(Debug)]
pub(crate) struct Counted {
    body: Incoming,
    _in_flight: InFlight,
    answered: Option<Answered>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a request got no answer of a replica.
enum Failure {
    /// Nothing was sent.
    Unreached(Sent),
    /// The replica may have got the request.
    BrokeOff,
}

impl State {
    /// Answers a request: by a replica, or with why there is none. Counts it.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Answer {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let Some(host) = host_of(&parts) else { return text(400, "a request needs one host") };
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let mut answer = self.forward(parts, body, &host, &target, client).await;
        let answered = self.count(&host, &target, answer.status().as_u16(), began);
        if let Either::Left(body) = answer.body_mut() {
            body.answered = answered;
        }
        answer
    }

    async fn forward(
        self: &Arc<Self>,
        mut parts: Parts,
        body: Incoming,
        host: &str,
        target: &str,
        client: IpAddr,
    ) -> Answer {
        let upgraded = parts.extensions.remove::<OnUpgrade>();
        // A request without a body, of a method that changes nothing, can be sent twice.
        let is_repeatable = parts.method.is_safe() && body.is_end_stream();
        let mut body = if body.is_end_stream() { empty() } else { Either::Left(body) };
        let mut tried = Vec::new();
        while tried.len() < TRIES {
            let destination = match self.choose(host, target, &tried) {
                Ok(destination) => destination,
                Err((status, reason)) => return text(status, reason),
            };
            tried.push(destination.endpoint);
            if destination.buffer_request {
                body = match buffered(body).await {
                    Ok(body) => body,
                    Err(()) => return text(400, "the body of the request broke off"),
                };
            }
            let Some(sent) = outgoing(&parts, client, destination.strip.as_deref()) else {
                return text(400, "the path of the request cannot be passed on");
            };
            match send(destination.endpoint, Request::from_parts(sent, body)).await {
                Ok(answer) => return incoming(answer, destination, upgraded),
                Err(Failure::Unreached(unsent)) => body = unsent,
                Err(Failure::BrokeOff) if is_repeatable => body = empty(),
                Err(Failure::BrokeOff) => return text(502, "the replica broke off"),
            }
        }
        text(503, NO_REPLICA)
    }
}

fn empty() -> Sent {
    Either::Right(Full::default())
}

async fn buffered(body: Sent) -> Result<Sent, ()> {
    let collected = body.collect().await.map_err(drop)?;
    Ok(Either::Right(Full::new(collected.to_bytes())))
}

/// Returns the host of a request; `None` if it has none or several.
fn host_of(parts: &Parts) -> Option<String> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.to_string());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.to_owned();
    hosts.next().is_none().then_some(host)
}

/// Sends a request over a connection of its own.
async fn send(to: SocketAddr, request: Request<Sent>) -> Result<Response<Incoming>, Failure> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
    let Ok(Ok(stream)) = connected else { return Err(Failure::Unreached(request.into_body())) };
    let _ = stream.set_nodelay(true);
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return Err(Failure::Unreached(request.into_body()));
    };
    // It ends with the answer, whose body reports what goes wrong.
    tokio::spawn(connection.with_upgrades());
    sender.try_send_request(request).await.map_err(|mut failed| match failed.take_message() {
        Some(request) => Failure::Unreached(request.into_body()),
        None => Failure::BrokeOff,
    })
}

/// Returns the head of the request to the replica; `None` if its path is malformed.
fn outgoing(parts: &Parts, client: IpAddr, strip: Option<&str>) -> Option<Parts> {
    let mut sent = parts.clone();
    sent.version = Version::HTTP_11;
    let target = sent.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let stripped = strip
        .and_then(|prefix| target.strip_prefix(prefix))
        .map(|rest| if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") });
    sent.uri = stripped.as_deref().unwrap_or(target).parse::<Uri>().ok()?;
    let host = parts.headers.get(HOST).cloned();
    let authority = parts.uri.authority().and_then(|host| host.as_str().parse().ok());
    let host = authority.or(host)?;
    let is_websocket = is_websocket(&parts.headers);
    remove_hop_by_hop(&mut sent.headers);
    let forged: Vec<_> = sent.headers.keys().filter(|name| is_forgeable(name)).cloned().collect();
    forged.iter().for_each(|name| drop(sent.headers.remove(name)));
    let mut set = |name: &'static str, value: HeaderValue| {
        sent.headers.insert(HeaderName::from_static(name), value);
    };
    // The client is not trusted: what it says about itself is replaced.
    let address = HeaderValue::try_from(client.to_canonical().to_string()).ok()?;
    set("x-real-ip", address.clone());
    set("x-forwarded-for", address);
    set("x-forwarded-host", host.clone());
    set("x-forwarded-proto", HeaderValue::from_static("http"));
    set("host", host);
    if let Some(prefix) = strip {
        set("x-forwarded-prefix", prefix.parse().ok()?);
    }
    if is_websocket {
        set("connection", HeaderValue::from_static("upgrade"));
        set("upgrade", HeaderValue::from_static("websocket"));
    } else {
        set("connection", HeaderValue::from_static("close"));
    }
    Some(sent)
}

/// Returns the answer of a replica for the client.
fn incoming(
    mut answer: Response<Incoming>,
    destination: Destination,
    client: Option<OnUpgrade>,
) -> Answer {
    let in_flight = destination.in_flight;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let replica = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let _in_flight = in_flight;
            let Some(client) = client else { return };
            if let (Ok(client), Ok(replica)) = tokio::join!(client, replica) {
                let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
                // How a connection between others ends does not matter here.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut replica).await;
            }
        });
        return answer.map(|_| Either::Right(Full::default()));
    }
    remove_hop_by_hop(answer.headers_mut());
    *answer.version_mut() = Version::HTTP_11;
    answer.map(|body| Either::Left(Counted { body, _in_flight: in_flight, answered: None }))
}

/// Removes what is about one connection, and what `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    named.iter().for_each(|name| drop(headers.remove(name)));
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(*name)));
}

/// Whether a client could forge with a header what only a proxy says. CGI and WSGI apps read `_`
/// and `-` as the same, and `Proxy` as the variable `HTTP_PROXY`.
fn is_forgeable(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    let others = ["forwarded", "front-end-https", "proxy", "x-real-ip", "x-url-scheme"];
    name.starts_with("x-forwarded-") || others.contains(&name.as_str())
}

/// Only websockets are passed on: another protocol would carry requests past the routes.
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn text(status: u16, reason: &'static str) -> Answer {
    let mut answer = Response::new(Either::Right(Full::from(reason)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    answer
}
