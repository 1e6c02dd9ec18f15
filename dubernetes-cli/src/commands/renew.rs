//! `renew`: has the certificate of a host replaced now.

use crate::args::RenewArgs;
use crate::output;
use crate::report::{CliError, Result};
use crate::resolve::none_if_missing;
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &RenewArgs, settings: &Settings) -> Result {
    let host = &args.certificate;
    Target::with(settings, Mode::Act, async |target: &Target| {
        if none_if_missing(target.client.renew_certificate(host.as_str()).await)?.is_none() {
            let what = format!("no authority issues a certificate for `{host}`");
            return Err(CliError::new(what).help("see `dubernetes get certificates`"));
        }
        output::print(&format!("certificate/{host} is renewed now\n"))?;
        target.warn_unsupervised("");
        Ok(())
    })
    .await
}
