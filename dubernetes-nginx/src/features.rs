//! What an image of nginx offers for the names of apps.

use dubernetes_core::identity::name_range;
use dubernetes_core::ingress::{IngressError, Listener, Protocol, RouteTable};
use dubernetes_core::runtime::Network;
use ipnet::Ipv4Net;

use crate::config::RenderContext;
use crate::ingress::{NginxIngress, render_context};
use crate::proxy::{Nginx, RunningNginx};

/// The file of the stream module where it is not built in, as Debian packages it.
pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Prints what [`Features::parse`] reads. Each part may fail alone.
const FEATURES_CMD: &str =
    "nginx -V 2>&1; ls /usr/lib/nginx/modules/ngx_stream_module.so; cat /proc/net/fib_trie";

/// What an nginx container can do for the names of apps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Whether it has the addresses of names, so that it can listen on them.
    pub names: bool,
    /// How it passes on TCP connections, if it can.
    pub stream: Option<Stream>,
}

/// How nginx comes to its stream module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// It is built in.
    BuiltIn,
    /// It has to be loaded.
    Module,
}

impl Features {
    /// Parses the output of [`FEATURES_CMD`] in a container with the addresses `names`.
    fn parse(output: &str, names: Ipv4Net) -> Self {
        let mut words = output.split_whitespace();
        let stream = if words.any(|word| word == "--with-stream") {
            Some(Stream::BuiltIn)
        } else {
            output.lines().any(|line| line == STREAM_MODULE).then_some(Stream::Module)
        };
        // The kernel's tree of routes: an address, and below it the length of its prefix.
        let node = format!("|-- {}\n", names.network());
        let is_local = |rest: &str| {
            let leaves = rest.lines().take_while(|line| line.trim_start().starts_with('/'));
            leaves.map(str::trim).any(|leaf| leaf == format!("/{} host LOCAL", names.prefix_len()))
        };
        Self { names: output.split(&node).skip(1).any(is_local), stream }
    }

    /// Returns what the image lacks that these listeners need.
    pub(crate) fn warning(self, listeners: &[Listener]) -> Option<String> {
        if !self.names && !listeners.is_empty() {
            return Some(
                "apps cannot be reached by name: the image of the ingress has no program `ip`; \
                 use `nginx:stable-alpine`"
                    .to_owned(),
            );
        }
        let needs_stream = listeners
            .iter()
            .any(|listener| matches!(listener.protocol, Protocol::Tcp | Protocol::Udp));
        (needs_stream && self.stream.is_none()).then(|| {
            "apps without `access` cannot be reached by name: nginx in the image of the ingress \
             has no stream module; use `nginx:stable-alpine`"
                .to_owned()
        })
    }
}

impl Nginx {
    /// Asks a run of nginx what it offers for names.
    pub(crate) async fn read_features(
        &self,
        nginx: &RunningNginx,
        names: Ipv4Net,
    ) -> Result<Features, IngressError> {
        let result = self.run_command(&nginx.id, &["sh", "-c", FEATURES_CMD], None).await?;
        Ok(Features::parse(&String::from_utf8_lossy(&result.stdout), names))
    }
}

impl NginxIngress {
    /// Returns what the files of `table` are rendered for.
    pub(crate) async fn render_context(
        &self,
        nginx: &RunningNginx,
        network: &Network,
        table: &RouteTable,
    ) -> Result<RenderContext, IngressError> {
        let version = self.version(&nginx.id).await?;
        let features = match table.listeners[..] {
            // Nothing depends on them.
            [] => Features::default(),
            [..] => self.features(nginx, network).await?,
        };
        Ok(RenderContext { features, ..render_context(network, Some(version)) })
    }

    /// Returns what a run of nginx offers for names. A restart may change it.
    async fn features(
        &self,
        nginx: &RunningNginx,
        network: &Network,
    ) -> Result<Features, IngressError> {
        let known = self.cache().features.clone();
        if let Some((_, features)) = known.filter(|(known, _)| known == nginx) {
            return Ok(features);
        }
        let features = match name_range(network.subnet) {
            Some(names) => self.nginx.read_features(nginx, names).await?,
            None => Features::default(),
        };
        self.cache().features = Some((nginx.clone(), features));
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n           |-- 10.201.6.0\n              \
                        /24 host LOCAL\n           |-- 10.201.7.255\n              /32 link \
                        BROADCAST\n";

    fn parse(build: &str, names: &str) -> Features {
        Features::parse(&format!("configure arguments: {build}\n{TRIE}"), names.parse().unwrap())
    }

    #[test]
    fn stream_module_is_built_in_or_a_file() {
        let stream = |build| parse(build, "10.201.6.0/24").stream;
        assert_eq!(stream("--with-stream --with-stream_ssl_module"), Some(Stream::BuiltIn));
        let dynamic = format!("--with-stream=dynamic\n{STREAM_MODULE}");
        assert_eq!(stream(&dynamic), Some(Stream::Module));
        assert_eq!(stream("--with-stream=dynamic --with-stream_ssl_module"), None);
    }

    #[test]
    fn names_need_a_local_route() {
        assert!(parse("", "10.201.6.0/24").names);
        assert!(!parse("", "10.201.6.0/25").names);
        assert!(!parse("", "10.201.7.0/24").names);
    }
}
