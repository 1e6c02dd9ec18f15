//! Arguments of `ui`.

use clap::Args;

/// Arguments of `ui`.
#[derive(Debug, Args)]
pub(crate) struct UiArgs {
    /// Port of the loopback addresses to listen on; 0 for a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,
    /// Serve pages that change nothing.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print the link without opening a browser.
    #[arg(long)]
    pub(crate) no_browser: bool,
}
