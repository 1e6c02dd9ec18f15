//! Writes families of metrics: a name with its description, and a value for each set of labels.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

/// Names and values of the labels of one series.
pub(crate) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// What a family is about.
#[derive(Debug)]
pub(crate) struct Family {
    /// The name, without the prefix, the unit, and the suffix of its kind.
    pub(crate) name: &'static str,
    /// A sentence.
    pub(crate) help: &'static str,
    /// The unit, which the name ends with.
    pub(crate) unit: Option<Unit>,
}

impl Family {
    /// Returns a family of numbers.
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None }
    }

    /// Returns a family of durations or times in seconds.
    pub(crate) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: Some(Unit::Seconds) }
    }
}

/// Writes families one after the other. Each is there with its description even if it has no
/// series yet.
#[derive(Debug)]
pub(crate) struct Families<'a>(pub(crate) DescriptorEncoder<'a>);

impl Families<'_> {
    /// Writes numbers that only rise.
    pub(crate) fn counters<'a, const N: usize>(
        &mut self,
        Family { name, help, unit }: &Family,
        series: impl IntoIterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in series {
            let mut encoder = family.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// Writes numbers that rise and fall.
    pub(crate) fn gauges<'a, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        Family { name, help, unit }: &Family,
        series: impl IntoIterator<Item = (Labels<'a, N>, V)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Writes distributions.
    pub(crate) fn histograms<'a, const N: usize>(
        &mut self,
        Family { name, help, unit }: &Family,
        series: impl IntoIterator<Item = (Labels<'a, N>, &'a Histogram)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, histogram) in series {
            histogram.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Writes distributions that were counted elsewhere: their sum, and the number in each bucket
    /// with its upper bound, the last of which is infinite.
    pub(crate) fn distributions<'a, const N: usize>(
        &mut self,
        Family { name, help, unit }: &Family,
        series: impl IntoIterator<Item = (Labels<'a, N>, f64, Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, sum, buckets) in series {
            let count: u64 = buckets.iter().map(|(_, count)| count).sum();
            let mut encoder = family.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// Writes facts that are no numbers.
    pub(crate) fn info<const N: usize>(
        &mut self,
        Family { name, help, unit }: &Family,
        labels: &Labels<'_, N>,
    ) -> fmt::Result {
        let kind = MetricType::Info;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        family.encode_info(labels)
    }
}
