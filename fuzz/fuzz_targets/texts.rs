//! Any text as a value with a grammar of its own: refused in one line without control characters,
//! or what it is written as means the same.

#![no_main]

use std::fmt::{Debug, Display};

use dubernetes_core::app::{
    AppName, ContentHash, CountOrPercent, Cpu, Duration, EnvName, FileMode, FilePath, FileTarget,
    HostName, ImageRef, InstanceName, Memory, ParseError, RoutePath, UrlPath, Volume,
};
use dubernetes_core::selector::Selector;
use dubernetes_core::sockets;
use libfuzzer_sys::fuzz_target;

fn check<T: Debug + Display + PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, ParseError>,
) {
    match parse(text) {
        Ok(value) => assert_eq!(parse(&value.to_string()).as_ref(), Ok(&value), "{text:?}"),
        Err(rule) => is_shown(&rule.to_string()),
    }
}

fn is_shown(rule: &str) {
    assert!(!rule.is_empty() && !rule.contains(char::is_control), "{rule:?}");
}

fuzz_target!(|text: &str| {
    check(text, AppName::parse);
    check(text, InstanceName::parse);
    check(text, ImageRef::parse);
    check(text, HostName::parse);
    check(text, RoutePath::parse);
    check(text, UrlPath::parse);
    check(text, EnvName::parse);
    check(text, FilePath::parse);
    check(text, FileTarget::parse);
    check(text, FileMode::parse);
    check(text, ContentHash::parse);
    check(text, Volume::parse);
    check(text, Duration::parse);
    check(text, Cpu::parse);
    check(text, Memory::parse);
    check(text, CountOrPercent::parse);
    if let Err(rule) = Selector::parse(text) {
        is_shown(&rule.to_string());
    }
    // What the kernel writes is read as far as it is understood.
    sockets::listeners(text);
});
