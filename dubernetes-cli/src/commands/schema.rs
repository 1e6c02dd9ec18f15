//! `schema`: prints the JSON schema of the manifest.

use dubernetes_manifest::reference::{Form, schema};

use crate::output;
use crate::report::Result;

pub(super) fn run() -> Result {
    output::print(&format!("{:#}\n", schema(Form::File)))
}
