//! The private listener: it names the generation that is served, and has the counts of requests.

use super::{GENERATION_PATH, PRIVATE_PORT, RenderContext, requests};
use crate::directive::Token::{Address, Socket, Word};
use crate::directive::{Conf, Digest, IllegalToken, Token};

/// Renders the listener that names the generation, for the orchestrator alone.
pub(super) fn write(
    digest: &Digest,
    context: &RenderContext,
    counts: bool,
) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    conf.block("server", &[], |conf| {
        conf.line("listen", &[Socket((context.address, PRIVATE_PORT).into())])?;
        // The orchestrator, as seen through the network's gateway; and the container itself.
        conf.line("allow", &[Address(context.gateway)])?;
        conf.line("allow", &[Address(context.address)])?;
        conf.words("deny", &["all"])?;
        // nginx evaluates `return` before `deny`, but `try_files` after it.
        conf.block("location", &[Word("="), Word(GENERATION_PATH)], |conf| {
            conf.words("try_files", &["/none", "@generation"])
        })?;
        conf.block("location", &[Word("@generation")], |conf| {
            conf.line("return", &[Word("200"), Token::Digest(digest)])
        })?;
        if counts { requests::write_location(conf) } else { Ok(()) }
    })?;
    Ok(conf.finish())
}
