//! Reads the counts of requests, which nginx keeps as `config::requests` says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use dubernetes_core::app::AppName;
use dubernetes_core::error::SharedError;
use dubernetes_core::ingress::{IngressError, RequestCounts};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Number;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _};

use crate::config::{COUNTS_PATH, PRIVATE_PORT};
use crate::error::failure;
use crate::proxy::{Nginx, RunningNginx};

/// Largest accepted answer, in bytes. That of 250 apps with all of their counts is below 1 MB.
const MAX_ANSWER: usize = 16 << 20;

impl Nginx {
    /// Returns the counts of a run of nginx; `None` if it counts no requests.
    pub(crate) async fn request_counts(
        &self,
        nginx: &RunningNginx,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        match self.get(nginx, COUNTS_PATH).await.map_err(IngressError::Failed)? {
            (200, body) => parse(&body).map(Some),
            (404, _) => Ok(None),
            (status, _) => {
                Err(failure(format!("its private listener answers with status {status}")))
            }
        }
    }

    /// Reads a whole answer of the private listener.
    async fn get(&self, nginx: &RunningNginx, path: &str) -> Result<(u16, Bytes), SharedError> {
        let endpoint = SocketAddr::from((nginx.address, PRIVATE_PORT));
        let connection = self.dialer.connect(endpoint).await.map_err(SharedError::new)?;
        let stream = tokio::io::join(connection.reader.compat(), connection.writer.compat_write());
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(SharedError::new)?;
        let request = Request::get(path)
            .header(HOST, nginx.address.to_string())
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(SharedError::new)?;
        let answer = async move {
            let answer = sender.send_request(request).await.map_err(SharedError::new)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| SharedError::text(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        // The connection transfers the bytes, and its errors show in the answer as well.
        tokio::join!(answer, connection).0
    }
}

/// Parses the counts: a list of names with numbers, where `web 2 0` is a number of requests to
/// `web` with a status from 200 on and a duration in the first bucket, and `web` the sum of their
/// durations.
fn parse(text: &[u8]) -> Result<BTreeMap<AppName, RequestCounts>, IngressError> {
    let items: Vec<(String, Number)> = serde_json::from_slice(text)
        .map_err(|error| failure(format!("its counts of requests are malformed: {error}")))?;
    let mut all = BTreeMap::<AppName, RequestCounts>::new();
    for (key, number) in &items {
        // What another program may have put there is left out.
        let _ = add(&mut all, key, number);
    }
    Ok(all)
}

fn add(all: &mut BTreeMap<AppName, RequestCounts>, key: &str, number: &Number) -> Option<()> {
    let mut words = key.split(' ');
    let app = AppName::parse(words.next()?).ok()?;
    let Some(class) = words.next() else {
        all.entry(app).or_default().seconds = number.as_f64()?;
        return Some(());
    };
    let class = class.parse::<usize>().ok()?.checked_sub(1)?;
    let bucket = words.next()?.parse::<usize>().ok()?;
    let count = number.as_u64()?;
    let own = all.entry(app).or_default();
    *own.by_class.get_mut(class)? += count;
    if class > 0 {
        *own.durations.get_mut(bucket)? += count;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_parsed_by_app() {
        let text = br#"[["web",1.25],["web 2 0",7],["web 5 0",1],["web 2 11",2],["api 1 11",1],
                        ["Web 2 0",3],["web 9 0",3],["web 2 x",3],["web 0 0",3]]"#;
        let all = parse(text).unwrap();
        let web = &all[&AppName::parse("web").unwrap()];
        assert_eq!(web.by_class, [0, 9, 0, 0, 1]);
        assert_eq!((web.durations[0], web.durations[11]), (8, 2));
        assert!((web.seconds - 1.25).abs() < 1e-9, "{web:?}");
        let api = &all[&AppName::parse("api").unwrap()];
        assert_eq!((api.by_class[0], api.durations.iter().sum::<u64>()), (1, 0));
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(parse(b"<html>").is_err());
        assert!(parse(b"[]").unwrap().is_empty());
    }
}
