//! What an image of nginx offers for the names of apps, and for counting requests.

use std::net::{IpAddr, Ipv4Addr};

use dubernetes_core::identity::{ingress_address, name_range};
use dubernetes_core::ingress::{IngressError, Listener, PortSupport, Protocol, RouteTable};
use dubernetes_core::runtime::{Capability, Network};
use ipnet::Ipv4Net;

use crate::config::{Proxies, RenderContext};
use crate::error::{LOST_OUTPUT, failure};
use crate::ingress::NginxIngress;
use crate::proxy::{Nginx, RunningNginx};
use crate::version::Build;

/// The file of the stream module where it is not built in, as Debian packages it.
pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// The file of the module for JavaScript, as nginx.org and Debian package it.
pub(crate) const JS_MODULE: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";

/// Prints what [`Features::parse`] reads, and [`END`]. Each part may fail alone.
const FEATURES_CMD: &str = "nginx -V 2>&1; ls /usr/lib/nginx/modules/ngx_stream_module.so; \
                            cat /proc/net/fib_trie; echo; echo end-of-features";

/// The last line of [`FEATURES_CMD`]: output that an engine has lost must not count as what the
/// image lacks.
const END: &str = "end-of-features";

/// Lets nginx check the directives that count requests, and prints the engine of the module for
/// JavaScript that accepts them: the faster one first. A module that is too old, or lacks a
/// library, must not get into a configuration.
macro_rules! find_js {
    () => {
        "if d=$(mktemp -d); then \
         echo 'export default { count: function (r) { return \"\"; } };' >$d/a.js; \
         for e in qjs njs; do \
         echo \"load_module /usr/lib/nginx/modules/ngx_http_js_module.so; pid $d/a.pid; \
         events {} http { $([ $e = njs ] || echo js_engine $e\\;) js_import a from a.js; \
         js_shared_dict_zone zone=a:64k type=number; js_set \\$a a.count; }\" >$d/a.conf; \
         nginx -t -q -c $d/a.conf 2>/dev/null && echo javascript: $e && break; \
         done; rm -rf $d; fi"
    };
}

/// Prints what [`JsEngine::parse`] reads, and [`END`].
const JS_CMD: &str = concat!(find_js!(), "; echo end-of-features");

/// A script for `sh` in an image, whose output the functions below read. A shell may have `ip`
/// built in, and then it has no path.
pub const IMAGE_SCRIPT: &str = concat!(
    "nginx -V 2>&1; ls /usr/lib/nginx/modules/ngx_stream_module.so; \
     command -v ip >/dev/null && echo it-has-ip; ",
    find_js!()
);

/// Returns what an image lacks for names of apps and published ports. `output` is that of
/// [`IMAGE_SCRIPT`], or `None` if the image has no shell.
pub fn image_warning(output: Option<&str>) -> Option<&'static str> {
    let Some(output) = output else {
        return Some("no shell, so apps have no names, and updates interrupt apps with `ports`");
    };
    if !output.lines().any(|line| line == "it-has-ip") {
        return Some(
            "no program `ip`, so apps have no names, and updates interrupt apps with `ports`",
        );
    }
    let message = "no stream module of nginx, so apps without `access` have no names, and updates \
                   interrupt apps with `ports`";
    Stream::parse(output).is_none().then_some(message)
}

/// Returns what an image lacks for trusted proxies, as far as [`IMAGE_SCRIPT`] tells.
pub fn proxies_warning(output: Option<&str>) -> Option<&'static str> {
    let build = Build::parse(output?)?;
    (!build.has_realip).then_some("no realip module of nginx, so no trusted proxy is believed")
}

/// Returns what an image lacks for counting requests. `output` is as for [`image_warning`].
pub fn requests_warning(output: Option<&str>) -> Option<&'static str> {
    let lacks = "no nginx module for JavaScript that works, so there are no metrics of requests";
    JsEngine::parse(output.unwrap_or_default()).is_none().then_some(lacks)
}

/// What an nginx container can do for the names of apps, and for counting requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Whether it has the addresses of names, so that it can listen on them.
    pub names: bool,
    /// How it passes on TCP connections, if it can.
    pub stream: Option<Stream>,
    /// How it runs JavaScript, which counts requests, if it can.
    pub js: Option<JsEngine>,
}

/// How nginx comes to its stream module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// It is built in.
    BuiltIn,
    /// It has to be loaded.
    Module,
}

/// The engine that runs JavaScript in nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsEngine {
    /// QuickJS, which is faster.
    Qjs,
    /// That of the module itself.
    Njs,
}

impl JsEngine {
    /// Parses the output of [`JS_CMD`].
    fn parse(output: &str) -> Option<Self> {
        output.lines().find_map(|line| match line {
            "javascript: qjs" => Some(Self::Qjs),
            "javascript: njs" => Some(Self::Njs),
            _ => None,
        })
    }
}

impl Stream {
    /// Parses the output of `nginx -V` and of `ls`.
    fn parse(output: &str) -> Option<Self> {
        if output.split_whitespace().any(|word| word == "--with-stream") {
            return Some(Self::BuiltIn);
        }
        output.lines().any(|line| line == STREAM_MODULE).then_some(Self::Module)
    }
}

impl Features {
    /// Parses the output of [`FEATURES_CMD`] in a container with the addresses `names`.
    fn parse(output: &str, names: Ipv4Net) -> Self {
        // The kernel's tree of routes: an address, and below it the length of its prefix.
        let node = format!("|-- {}\n", names.network());
        let is_local = |rest: &str| {
            let leaves = rest.lines().take_while(|line| line.trim_start().starts_with('/'));
            leaves.map(str::trim).any(|leaf| leaf == format!("/{} host LOCAL", names.prefix_len()))
        };
        Self {
            names: output.split(&node).skip(1).any(is_local),
            stream: Stream::parse(output),
            js: None,
        }
    }

    /// Returns whether a container of the image can publish ports of the host: it passes
    /// connections on to addresses of names.
    fn port_support(self) -> PortSupport {
        let lacks = match self.stream {
            _ if !self.names => "program `ip`",
            None => "stream module of nginx",
            Some(Stream::BuiltIn | Stream::Module) => return PortSupport::Supported,
        };
        PortSupport::Missing { reason: format!("the image of the ingress has no {lacks}") }
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

/// Returns whether output of [`FEATURES_CMD`] is missing. Without a shell there is none.
fn is_cut(code: i64, output: &str) -> bool {
    code == 0 && output.lines().last() != Some(END)
}

impl Nginx {
    /// Asks a run of nginx what it offers for names.
    pub(crate) async fn read_features(
        &self,
        nginx: &RunningNginx,
        names: Ipv4Net,
    ) -> Result<Features, IngressError> {
        let result = self.run_command(&nginx.id, &["sh", "-c", FEATURES_CMD], None).await?;
        let output = String::from_utf8_lossy(&result.stdout);
        if is_cut(result.code, &output) {
            return Err(failure(LOST_OUTPUT));
        }
        Ok(Features::parse(&output, names))
    }

    /// Asks a run of nginx whether it runs JavaScript.
    async fn read_js(&self, nginx: &RunningNginx) -> Result<Option<JsEngine>, IngressError> {
        let result = self.run_command(&nginx.id, &["sh", "-c", JS_CMD], None).await?;
        let output = String::from_utf8_lossy(&result.stdout);
        if is_cut(result.code, &output) {
            return Err(failure(LOST_OUTPUT));
        }
        Ok(JsEngine::parse(&output))
    }
}

impl NginxIngress {
    /// What the ingress needs of the runtime.
    pub const NEEDS: [Capability; 4] = [
        Capability::ContainerImages,
        Capability::PlannedAddresses,
        Capability::Files,
        Capability::Exec,
    ];

    /// Returns what the files of `table` are rendered for. Nothing in the files of an empty table
    /// depends on the image, so an ingress that was just created serves them already.
    pub(crate) async fn render_context(
        &self,
        nginx: &RunningNginx,
        network: &Network,
        table: &RouteTable,
    ) -> Result<RenderContext, IngressError> {
        if table.is_empty() {
            return Ok(self.basic_context(network, nginx.address, None));
        }
        let features = async {
            match table.listeners[..] {
                // Nothing depends on them.
                [] if !self.nginx.config.count_requests => Ok(Features::default()),
                _ => self.features(nginx, network).await,
            }
        };
        let (build, features) = tokio::try_join!(self.build(&nginx.id), features)?;
        Ok(RenderContext { features, ..self.basic_context(network, nginx.address, Some(build)) })
    }

    /// Returns what files are rendered for that need no feature.
    pub(crate) fn basic_context(
        &self,
        network: &Network,
        address: IpAddr,
        build: Option<Build>,
    ) -> RenderContext {
        let config = &self.nginx.config;
        let gateway = Ipv4Addr::from(u32::from(network.subnet.network()) + 1);
        RenderContext {
            address: match address {
                IpAddr::V4(address) => address,
                // Subnets are of IPv4.
                IpAddr::V6(_) => ingress_address(network.subnet),
            },
            gateway,
            any_address: self.nginx.any_address(),
            version: build.map(|build| build.version),
            features: Features::default(),
            keepalive_window: config.keepalive_window,
            proxies: Proxies {
                trusted: config.trusted_proxies.networks(gateway),
                proxy_protocol: config.proxy_protocol,
                has_realip: build.is_some_and(|build| build.has_realip),
            },
            https_port: config.https_port,
            access_log: config.access_log,
            count_requests: config.count_requests,
        }
    }

    /// Returns whether the observed run of nginx is of an image that can publish ports.
    pub(crate) async fn observed_port_support(&self) -> Result<PortSupport, IngressError> {
        let (running, known) = {
            let cache = self.cache();
            (cache.running.clone(), cache.features.clone())
        };
        let Some(nginx) = running else { return Ok(PortSupport::Unknown) };
        let features = match known.filter(|(known, _)| *known == nginx) {
            Some((_, features)) => features,
            None => self.features(&nginx, &self.network().await?).await?,
        };
        Ok(features.port_support())
    }

    /// Returns what a run of nginx offers for names. A restart may change it.
    pub(crate) async fn features(
        &self,
        nginx: &RunningNginx,
        network: &Network,
    ) -> Result<Features, IngressError> {
        let known = self.cache().features.clone();
        if let Some((_, features)) = known.filter(|(known, _)| known == nginx) {
            return Ok(features);
        }
        let mut features = match name_range(network.subnet) {
            Some(names) => self.nginx.read_features(nginx, names).await?,
            None => Features::default(),
        };
        if self.nginx.config.count_requests {
            features.js = self.nginx.read_js(nginx).await?;
        }
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
    fn lost_output_is_not_what_the_image_lacks() {
        let whole = "nginx version: nginx/1.30.6\n  |-- 10.201.6.0\n\nend-of-features\n";
        assert!(!is_cut(0, whole));
        assert!(is_cut(0, ""));
        assert!(is_cut(0, "nginx version: nginx/1.30.6\n  |-- 10."));
        assert!(!is_cut(127, ""), "no shell");
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
    fn image_without_shell_ip_or_stream_module_has_a_warning() {
        let warning = |output: Option<&str>| image_warning(output).unwrap_or_default();
        let built_in = "configure arguments: --with-stream\n";
        assert_eq!(warning(Some(&format!("{built_in}it-has-ip\n"))), "");
        assert_eq!(warning(Some(&format!("{STREAM_MODULE}\nit-has-ip\n"))), "");
        assert!(warning(Some("configure arguments:\nit-has-ip\n")).contains("stream"));
        assert!(warning(Some(built_in)).contains("`ip`"));
        assert!(warning(None).contains("shell"));
        let proxies = |build: &str| {
            let output = format!("nginx version: nginx/1.30.6\nconfigure arguments: {build}\n");
            proxies_warning(Some(&output))
        };
        assert_eq!(proxies("--with-http_realip_module"), None);
        assert!(proxies("--with-stream").is_some_and(|text| text.contains("realip")));
        assert_eq!(proxies_warning(None), None, "what has no shell cannot be told");
    }

    #[test]
    fn requests_are_counted_by_the_engine_that_works() {
        assert_eq!(JsEngine::parse("javascript: qjs\nend-of-features\n"), Some(JsEngine::Qjs));
        assert_eq!(JsEngine::parse("javascript: njs\nend-of-features\n"), Some(JsEngine::Njs));
        assert_eq!(JsEngine::parse("end-of-features\n"), None);
        assert_eq!(requests_warning(Some("it-has-ip\njavascript: njs\n")), None);
        for output in [None, Some("it-has-ip\n")] {
            assert!(requests_warning(output).is_some_and(|text| text.contains("JavaScript")));
        }
    }

    #[test]
    fn ports_need_names_and_the_stream_module() {
        let support = |build, names| parse(build, names).port_support();
        assert_eq!(support("--with-stream", "10.201.6.0/24"), PortSupport::Supported);
        let lacks = |build, names| match support(build, names) {
            PortSupport::Missing { reason } => reason,
            other => format!("{other:?}"),
        };
        let stream = "the image of the ingress has no stream module of nginx";
        assert_eq!(lacks("", "10.201.6.0/24"), stream);
        let ip = "the image of the ingress has no program `ip`";
        assert_eq!(lacks("--with-stream", "10.201.7.0/24"), ip);
    }

    #[test]
    fn names_need_a_local_route() {
        assert!(parse("", "10.201.6.0/24").names);
        assert!(!parse("", "10.201.6.0/25").names);
        assert!(!parse("", "10.201.7.0/24").names);
    }
}
