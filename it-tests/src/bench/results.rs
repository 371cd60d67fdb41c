//! All measurements of one bench, and their medians.

use super::drain::Drained;
use super::latency::Delay;
use serde::Serialize;
use std::fmt;

/// A backlog's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Workload {
    /// 1,000 rows a transaction.
    Thousands,
    /// One row a transaction.
    Singles,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thousands => "transactions of 1,000",
            Self::Singles => "transactions of one",
        })
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) facts: Vec<String>,
    pub(super) load_before: String,
    drains: Vec<(String, Workload, Drained)>,
    delays: Vec<(String, Delay)>,
}

impl Results {
    pub(super) fn new(facts: Vec<String>, load_before: String) -> Self {
        Self { facts, load_before, drains: Vec::new(), delays: Vec::new() }
    }

    pub(super) fn drained(&mut self, subject: &str, workload: Workload, drained: Drained) {
        self.drains.push((subject.to_owned(), workload, drained));
    }

    pub(super) fn delayed(&mut self, subject: &str, delay: Delay) {
        self.delays.push((subject.to_owned(), delay));
    }

    /// The median of one figure over the runs; `None` if it was not measured.
    pub(super) fn drain(
        &self,
        subject: &str,
        workload: Workload,
        figure: impl Fn(&Drained) -> f64,
    ) -> Option<f64> {
        let of = self.drains.iter().filter(|(name, form, _)| name == subject && *form == workload);
        median(of.map(|(_, _, drained)| figure(drained)).collect())
    }

    /// The median of one figure over the runs; `None` if it was not measured.
    pub(super) fn delay(&self, subject: &str, figure: impl Fn(&Delay) -> f64) -> Option<f64> {
        let of = self.delays.iter().filter(|(name, _)| name == subject);
        median(of.map(|(_, delay)| figure(delay)).collect())
    }

    /// The largest part of the machine that something else took during any measurement, in cores.
    pub(super) fn other_cores(&self) -> f64 {
        let drains = self.drains.iter().map(|(_, _, drained)| drained.other_cores);
        drains.chain(self.delays.iter().map(|(_, delay)| delay.other_cores)).fold(0.0, f64::max)
    }
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = figures.get(middle).copied()?;
    match figures.len() % 2 {
        0 => Some(f64::midpoint(figures.get(middle - 1).copied()?, upper)),
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn a_median_is_the_middle_figure_whatever_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
