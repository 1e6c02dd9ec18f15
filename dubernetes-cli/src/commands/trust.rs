//! `trust`: prints the certificate of the instance's own authority, and how to trust it.

use crate::output;
use crate::report::{self, CliError, Result};
use crate::resolve::none_if_missing;
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let Some(pem) = none_if_missing(target.client.root_certificate().await)? else {
            return Err(CliError::new("this instance has issued no certificate of its own yet")
                .help("apply an app with `access: { host: NAME, tls: internal }`"));
        };
        output::print(&pem)?;
        HELP.into_iter().for_each(report::help);
        Ok(())
    })
    .await
}

const HELP: [&str; 3] = [
    "for one request: `dubernetes trust > root.pem; curl --cacert root.pem https://NAME`",
    "for all programs of a Debian machine: save it as \
     `/usr/local/share/ca-certificates/dubernetes.crt`, and run `update-ca-certificates`",
    "browsers have a store of their own: import it as an authority for websites",
];
