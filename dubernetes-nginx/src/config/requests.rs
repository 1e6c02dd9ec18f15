//! Counts requests by app in memory that the workers share, with the module for JavaScript: it
//! survives a reload, needs no reader, and misses no request.
//!
//! nginx evaluates the condition of a log once, when a request has ended. The condition of this one
//! counts, and never holds.

use dubernetes_core::ingress::{REQUEST_SECONDS, RouteTable};

use super::RenderContext;
use super::names::Names;
use crate::directive::Token::{Pattern, Text, Word};
use crate::directive::{Conf, IllegalToken};
use crate::features::{JS_MODULE, JsEngine};

/// The file of the script, relative to the generation.
pub(super) const FILE: &str = "requests.js";
/// The script, but for the upper bounds of the buckets.
const SCRIPT: &str = include_str!("requests.js");
/// Path on the private listener that answers with all counts.
pub(crate) const PATH: &str = "/requests";
/// The format of the log that is never written.
const FORMAT: &str = "dubernetes_none";
/// The shared memory: 61 counts for each app, of about 130 bytes. Another size would lose them at
/// a reload.
const ZONE: &str = "zone=dubernetes:4m";

impl RenderContext {
    /// Returns true if requests are counted, where any are routed.
    pub(super) fn counts(&self) -> bool {
        self.count_requests && self.features.js.is_some()
    }
}

/// Returns true if some request is counted.
pub(super) fn is_written(table: &RouteTable, names: &Names<'_>, context: &RenderContext) -> bool {
    context.counts() && !(table.routes.is_empty() && names.http.is_empty())
}

/// Returns the script.
pub(super) fn script() -> String {
    format!(
        "// Written by Dubernetes, which overwrites any change.\n\
         var bounds = {REQUEST_SECONDS:?};\n\n{SCRIPT}"
    )
}

/// Loads the module.
pub(super) fn write_module(conf: &mut Conf) -> Result<(), IllegalToken> {
    conf.words("load_module", &[JS_MODULE])
}

/// Writes what the logs of servers evaluate.
pub(super) fn write_settings(conf: &mut Conf, context: &RenderContext) -> Result<(), IllegalToken> {
    if context.features.js == Some(JsEngine::Qjs) {
        conf.words("js_engine", &["qjs"])?;
    }
    conf.words("js_import", &["dubernetes", "from", FILE])?;
    conf.line("js_shared_dict_zone", &[Pattern(ZONE), Word("type=number")])?;
    conf.words("js_set", &["$dubernetes_counted", "dubernetes.count"])?;
    conf.line("log_format", &[Word(FORMAT), Text("")])
}

/// Writes into a server that its requests are counted.
pub(super) fn write_server(conf: &mut Conf, context: &RenderContext) -> Result<(), IllegalToken> {
    if !context.counts() {
        return Ok(());
    }
    conf.words("access_log", &["/dev/null", FORMAT, "if=$dubernetes_counted"])
}

/// Writes into the private listener where the counts are read.
pub(super) fn write_location(conf: &mut Conf) -> Result<(), IllegalToken> {
    conf.block("location", &[Word("="), Word(PATH)], |conf| {
        conf.words("js_content", &["dubernetes.show"])
    })
}
