//! Amounts with a unit: CPU, memory and durations.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::quote;
use super::text::{ParseError, text_traits};

/// CPU time in thousandths of a core. Written `0.5`, `2` or `500m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpu(u32);

impl Cpu {
    /// The largest limit of a manifest: 1024 cores.
    pub const MAX: Self = Self(1_024_000);

    /// Parses `0.5`, `2` or `500m`: at least one thousandth, at most [`Cpu::MAX`].
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let millis = match text.strip_suffix('m') {
            Some(digits) => parse_whole(digits),
            None => parse_decimal_millis(text),
        };
        match millis.and_then(|millis| u32::try_from(millis).ok()) {
            Some(millis) if (1..=Self::MAX.0).contains(&millis) => Ok(Self(millis)),
            _ => Err(format!(
                "expected a number of cores from 0.001 to 1024, such as `0.5`, `2` or `500m`, \
                 not {}",
                quote(text)
            )
            .into()),
        }
    }

    /// Returns a limit that a runtime reports, from one thousandth to [`Cpu::MAX`].
    pub fn from_millis(millis: u64) -> Self {
        Self(u32::try_from(millis).unwrap_or(u32::MAX).clamp(1, Self::MAX.0))
    }

    /// Returns the number of thousandths of a core.
    pub fn millis(self) -> u32 {
        self.0
    }
}

text_traits!(Cpu);

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

/// An amount of memory in bytes. Written `64Mi`, `1Gi`. All units are powers of 1024; `k`, `m` and
/// `g` mean the same as on the engine's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory(u64);

impl Memory {
    /// The engine's lower bound for a container: 6 MiB.
    pub const MIN: Self = Self(6 << 20);
    /// The largest limit of a manifest: 16 TiB.
    pub const MAX: Self = Self(16 << 40);

    /// Parses digits and a unit, from [`Memory::MIN`] to [`Memory::MAX`].
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        let shift = match unit {
            "Ki" | "k" => Some(10),
            "Mi" | "m" => Some(20),
            "Gi" | "g" => Some(30),
            "Ti" => Some(40),
            _ => None,
        };
        match shift.and_then(|shift| parse_whole(digits)?.checked_mul(1 << shift)) {
            Some(bytes) if (Self::MIN.0..=Self::MAX.0).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(format!(
                "expected a size from 6Mi to 16Ti with a unit, such as `64Mi` or `1Gi`, not {}",
                quote(text)
            )
            .into()),
        }
    }

    /// Returns a limit that a runtime reports, in whole KiB from [`Memory::MIN`] to
    /// [`Memory::MAX`].
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes.clamp(Self::MIN.0, Self::MAX.0) >> 10 << 10)
    }

    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Returns this amount `count` times. The result may exceed [`Memory::MAX`].
    pub fn saturating_mul(self, count: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(count)))
    }
}

text_traits!(Memory);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi")] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}Ki", self.0 >> 10)
    }
}

/// A span of time in milliseconds. Written with its unit: `500ms`, `10s`, `2m`, `1h`, `1m30s`.
///
/// In a manifest, and as a conversion from [`std::time::Duration`], it is limited to
/// [`Duration::MIN`] to [`Duration::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(u64);

impl Duration {
    /// The shortest span of a manifest: one millisecond.
    pub const MIN: Self = Self(1);
    /// The longest span of a manifest: one hour.
    pub const MAX: Self = Self(3_600_000);

    /// Returns a span of `seconds`, not limited to [`Duration::MAX`].
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Returns a span of `millis`, not limited to [`Duration::MAX`].
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Parses one or more numbers, each with its unit.
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let parsed = parse_millis(text).map(Self);
        parsed.filter(|span| (Self::MIN..=Self::MAX).contains(span)).ok_or_else(|| {
            format!(
                "expected a duration from 1ms to 1h with a unit, such as `500ms`, `10s` or \
                 `1m30s`, not {}",
                quote(text)
            )
            .into()
        })
    }

    /// Returns the number of milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// Converts to a duration of the standard library.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// Converts to a signed duration, which can be added to a timestamp.
    pub fn to_signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_millis(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

text_traits!(Duration);

impl From<Duration> for std::time::Duration {
    fn from(span: Duration) -> Self {
        span.to_std()
    }
}

impl TryFrom<std::time::Duration> for Duration {
    type Error = ParseError;

    fn try_from(span: std::time::Duration) -> Result<Self, ParseError> {
        let millis = u64::try_from(span.as_millis()).ok().map(Self);
        millis
            .filter(|millis| (Self::MIN..=Self::MAX).contains(millis) && millis.to_std() == span)
            .ok_or_else(|| {
                format!("expected whole milliseconds from 1ms to 1h, not `{span:?}`").into()
            })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (size, unit) in [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

fn parse_millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let size = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(parse_whole(number)?.checked_mul(size)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// Parses digits without a sign, a separator or a leading zero.
pub(super) fn parse_whole(digits: &str) -> Option<u64> {
    let is_legal = digits == "0" || !digits.starts_with('0');
    if is_legal { parse_digits(digits) } else { None }
}

/// Parses `0.5` as 500: at most three digits after the point.
fn parse_decimal_millis(text: &str) -> Option<u64> {
    let (int, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    parse_whole(int)?.checked_mul(1000)?.checked_add(parse_digits(&format!("{fraction:0<3}"))?)
}

fn parse_digits(digits: &str) -> Option<u64> {
    let is_legal = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    is_legal.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn std_duration_converts_within_the_limits_of_a_manifest() {
        use std::time::Duration as Std;
        for span in [Std::from_millis(1), Std::from_millis(90_500), Std::from_secs(3600)] {
            let converted = Duration::try_from(span).unwrap();
            assert_eq!(Std::from(converted), span);
        }
        for span in [Std::ZERO, Std::from_micros(1500), Std::from_secs(3601), Std::MAX] {
            assert!(Duration::try_from(span).is_err(), "{span:?}");
        }
    }
}
