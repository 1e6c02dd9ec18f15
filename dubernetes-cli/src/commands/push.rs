//! `push`: sends images of this machine's engine to that of the orchestrator.

use crate::args::PushArgs;
use crate::image_push::Sender;
use crate::output;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::target::{Mode, Target, ingress_args};
use crate::wiring;

pub(super) async fn run(args: &PushArgs, settings: &Settings) -> Result {
    let local = wiring::local_runtime(&ingress_args(settings)?)?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let sender = Sender::new(local, &target.client).await?;
        for image in &args.images {
            if !sender.send(image).await? {
                return Err(CliError::new(format!("no such image on this machine: {image}"))
                    .help("`docker images` lists those that there are"));
            }
            output::print(&format!("image/{image} pushed\n"))?;
        }
        Ok(())
    })
    .await
}
