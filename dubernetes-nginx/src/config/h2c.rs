//! Settings for apps that speak HTTP/2 without TLS, as gRPC uses it.

use super::{CONNECT_TIMEOUT, Headers, RenderContext, TRIES};
use crate::directive::{Conf, IllegalToken};
use crate::version::Version;

/// Writes the settings of all routes and names with HTTP/2.
pub(super) fn write_settings(
    conf: &mut Conf,
    context: &RenderContext,
    headers: Headers,
) -> Result<(), IllegalToken> {
    if context.version.is_some_and(|version: Version| version.lacks_h2c().is_none()) {
        // Clients choose: those with HTTP/1.1 are served at the same ports.
        conf.words("http2", &["on"])?;
    }
    headers.write(conf, "grpc_set_header")?;
    // As for apps that speak HTTP/1.1.
    conf.words("grpc_ignore_headers", &["X-Accel-Redirect", "X-Accel-Charset"])?;
    conf.words("grpc_buffer_size", &["72k"])?;
    conf.words("grpc_connect_timeout", &[CONNECT_TIMEOUT])?;
    conf.words("grpc_read_timeout", &["1h"])?;
    conf.words("grpc_send_timeout", &["1h"])?;
    conf.words("grpc_next_upstream", &["error", "timeout"])?;
    conf.words("grpc_next_upstream_tries", &[TRIES])
}
