//! `schema`: the JSON schema of the file, for editors.

use dubernetes_manifest::reference::{Form, schema};

use crate::output;
use crate::report::Result;

pub(super) fn run() -> Result {
    output::print(&format!("{:#}\n", schema(Form::File)))
}
