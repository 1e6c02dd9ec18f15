//! Sizes and durations: written as text with a unit, kept as numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::quoted;

/// Implements serde through `FromStr`-like `parse` and `Display`.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text)
            }
        }
    };
}

as_text!(Cpu);
as_text!(Memory);
as_text!(Duration);

/// Processor time in thousandths of a core. Written `0.5`, `2` or `500m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpu(u32);

impl Cpu {
    /// The largest limit that can be written: 1024 cores.
    pub const MAX: Self = Self(1_024_000);

    /// Reads `0.5`, `2` or `500m`: at least one thousandth, at most [`Cpu::MAX`].
    ///
    /// # Errors
    ///
    /// What was expected, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "a number of cores from 0.001 to 1024 was expected, such as `0.5`, `2` or `500m`, not {}",
                quoted(text)
            )
        };
        let milli = match text.strip_suffix('m') {
            Some(digits) => whole(digits),
            None => decimal_milli(text),
        };
        match milli.and_then(|m| u32::try_from(m).ok()) {
            Some(m) if (1..=Self::MAX.0).contains(&m) => Ok(Self(m)),
            _ => Err(expected()),
        }
    }

    /// Thousandths of a core.
    pub fn millis(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

/// An amount of memory in bytes. Written `64Mi`, `1Gi` (powers of 1024; `k`, `m`, `g` mean the
/// same, as with the engine's own command line).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory(u64);

impl Memory {
    /// The engine's own lower bound for a container: 6 MiB.
    pub const MIN: Self = Self(6 << 20);
    /// The largest limit that can be written: 16 TiB.
    pub const MAX: Self = Self(16 << 40);

    /// Reads digits and a unit, from [`Memory::MIN`] to [`Memory::MAX`].
    ///
    /// # Errors
    ///
    /// What was expected, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        let shift = match unit {
            "Ki" | "k" => Some(10),
            "Mi" | "m" => Some(20),
            "Gi" | "g" => Some(30),
            "Ti" => Some(40),
            _ => None,
        };
        let bytes = shift.and_then(|shift| whole(digits)?.checked_mul(1 << shift));
        match bytes {
            Some(b) if (Self::MIN.0..=Self::MAX.0).contains(&b) => Ok(Self(b)),
            _ => Err(format!(
                "a size from 6Mi to 16Ti was expected, with its unit, such as `64Mi` or `1Gi`, not {}",
                quoted(text)
            )),
        }
    }

    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// So many times as much, which may be more than a file can say.
    pub fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(count)))
    }
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(u64);

impl Duration {
    /// The longest span that a file may name: one hour.
    pub const MAX: Self = Self(3_600_000);

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Reads one or more numbers, each with its unit, from 1 ms to 1 h.
    ///
    /// # Errors
    ///
    /// What was expected, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        match duration_millis(text) {
            Some(millis) if (1..=Self::MAX.0).contains(&millis) => Ok(Self(millis)),
            _ => Err(format!(
                "a duration from 1ms to 1h was expected, with its unit, such as `500ms`, `10s` or `1m30s`, not {}",
                quoted(text)
            )),
        }
    }

    /// Milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// The same span for the standard library.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// The same span for sums with times.
    pub fn to_signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_millis(i64::try_from(self.0).unwrap_or(i64::MAX))
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

fn duration_millis(text: &str) -> Option<u64> {
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
        total = total.checked_add(whole(number)?.checked_mul(size)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// Digits only: no sign, no separator, no leading zero.
fn whole(digits: &str) -> Option<u64> {
    let legal = digits == "0" || !digits.starts_with('0');
    if legal { all_digits(digits) } else { None }
}

/// `0.5` as 500: at most three digits after the point.
fn decimal_milli(text: &str) -> Option<u64> {
    let (int, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    whole(int)?.checked_mul(1000)?.checked_add(all_digits(&format!("{fraction:0<3}"))?)
}

fn all_digits(digits: &str) -> Option<u64> {
    let legal = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    legal.then(|| digits.parse().ok()).flatten()
}
