//! The version of nginx, and the features that depend on it.

use std::fmt;

/// A version of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// The first version with `keepalive_min_timeout`.
    const MIN_TIMEOUT: Self = Self::new(1, 27, 4);
    /// The first version that serves HTTP/1.1 and HTTP/2 at one port without TLS.
    const H2C: Self = Self::new(1, 25, 1);
    /// The first version that keeps idle connections to upstreams by default.
    const KEEPS_UPSTREAMS: Self = Self::new(1, 29, 7);

    /// Creates a version.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Parses the output of `nginx -V`, such as `nginx version: nginx/1.30.6 (Debian)`.
    pub fn parse(output: &str) -> Option<Self> {
        let rest = output.split_once("nginx/")?.1;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let mut numbers = rest[..end].split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self::new(next()?, next()?, next()?))
    }

    /// Returns true if a reload can leave kept client connections open for a minimum time.
    pub fn has_keepalive_min_timeout(self) -> bool {
        self >= Self::MIN_TIMEOUT
    }

    /// Returns true if idle connections to upstreams are kept unless they are turned off.
    pub fn keeps_upstream_connections(self) -> bool {
        self >= Self::KEEPS_UPSTREAMS
    }

    /// Returns true if HTTP/2 is a setting of a server, not of a socket.
    pub fn has_http2_directive(self) -> bool {
        self >= Self::H2C
    }

    /// Returns why this version cannot serve routes with `protocol: h2c`, if it cannot.
    pub fn lacks_h2c(self) -> Option<String> {
        (self < Self::H2C).then(|| {
            format!(
                "`protocol: h2c` needs nginx {} or later, and the image of the ingress has {self}; \
                 use `nginx:stable-alpine`",
                Self::H2C
            )
        })
    }

    /// Returns the warning for the operator about an old version.
    pub fn warning(self) -> Option<String> {
        (!self.has_keepalive_min_timeout()).then(|| {
            format!(
                "nginx {self} is older than {}: a change of routes may break idle keep-alive \
                 connections",
                Self::MIN_TIMEOUT
            )
        })
    }
}

/// What `nginx -V` says about a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The version.
    pub version: Version,
    /// Whether the realip module is built in. It cannot be loaded.
    pub has_realip: bool,
}

impl Build {
    /// Parses the output of `nginx -V`.
    pub fn parse(output: &str) -> Option<Self> {
        let has_realip = output.split_whitespace().any(|word| word == "--with-http_realip_module");
        Some(Self { version: Version::parse(output)?, has_realip })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_parsed_and_compared() {
        let new = Version::parse("nginx version: nginx/1.30.6 (Debian)\n");
        assert_eq!(new, Some(Version::new(1, 30, 6)));
        assert!(
            new.is_some_and(|v| v.has_keepalive_min_timeout() && v.keeps_upstream_connections())
        );
        let old = Version::parse("nginx version: nginx/1.22.1");
        assert!(old.is_some_and(|v| v.warning().is_some() && !v.keeps_upstream_connections()));
        let h2c = |patch| Version::new(1, 25, patch).lacks_h2c();
        assert!(h2c(0).is_some_and(|text| text.contains("1.25.1 or later")) && h2c(1).is_none());
        assert_eq!(Version::parse("nginx: not found"), None);
        assert_eq!(Version::parse("nginx/1.x"), None);
    }

    #[test]
    fn realip_module_is_an_argument_of_the_build() {
        let parse = |arguments: &str| {
            let output = format!("nginx version: nginx/1.30.6\nconfigure arguments: {arguments}");
            Build::parse(&output).unwrap()
        };
        let with = parse("--prefix=/etc --with-http_realip_module --with-stream\n");
        assert_eq!(with, Build { version: Version::new(1, 30, 6), has_realip: true });
        assert!(!parse("--with-stream_realip_module").has_realip);
        assert_eq!(Build::parse("--with-http_realip_module"), None);
    }
}
