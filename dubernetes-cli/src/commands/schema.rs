//! `schema`: the JSON schema of the file, for editors.

use dubernetes_manifest::reference::{Form, schema};

use crate::output;
use crate::report::Outcome;

pub(super) fn run() -> Outcome {
    output::print(&format!("{:#}\n", schema(Form::File)))
}
