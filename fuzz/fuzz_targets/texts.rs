//! Parses arbitrary text as each type with a grammar: the result is either an error of one line
//! without control characters, or a value that is equal after a round trip.

#![no_main]

use std::fmt::{Debug, Display};

use dubernetes_core::app::{
    AppName, ContentHash, CountOrPercent, Cpu, Duration, EnvName, FileMode, FilePath, FileTarget,
    HostName, ImageRef, InstanceName, Memory, ParseError, RoutePath, UrlPath, Volume,
};
use dubernetes_core::selector::Selector;
use dubernetes_core::sockets;
use libfuzzer_sys::fuzz_target;

fn check_round_trip<T: Debug + Display + PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, ParseError>,
) {
    match parse(text) {
        Ok(value) => assert_eq!(parse(&value.to_string()).as_ref(), Ok(&value), "{text:?}"),
        Err(error) => check_message(&error.to_string()),
    }
}

fn check_message(message: &str) {
    assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
}

fuzz_target!(|text: &str| {
    check_round_trip(text, AppName::parse);
    check_round_trip(text, InstanceName::parse);
    check_round_trip(text, ImageRef::parse);
    check_round_trip(text, HostName::parse);
    check_round_trip(text, RoutePath::parse);
    check_round_trip(text, UrlPath::parse);
    check_round_trip(text, EnvName::parse);
    check_round_trip(text, FilePath::parse);
    check_round_trip(text, FileTarget::parse);
    check_round_trip(text, FileMode::parse);
    check_round_trip(text, ContentHash::parse);
    check_round_trip(text, Volume::parse);
    check_round_trip(text, Duration::parse);
    check_round_trip(text, Cpu::parse);
    check_round_trip(text, Memory::parse);
    check_round_trip(text, CountOrPercent::parse);
    if let Err(error) = Selector::parse(text) {
        check_message(&error.to_string());
    }
    // Must not panic: reads the kernel's tables as far as possible.
    sockets::listeners(text);
});
