//! Medians, and the rows that are printed.

use std::time::Duration;

/// Times of one kind of start.
pub struct Series {
    pub name: String,
    times: Vec<Duration>,
}

impl Series {
    pub fn new(name: impl Into<String>) -> Series {
        Series { name: name.into(), times: Vec::new() }
    }

    pub fn add(&mut self, time: Duration) {
        self.times.push(time);
        self.times.sort();
    }

    pub fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }

    fn ms(&self, part: usize) -> f64 {
        ms(self.times[(self.times.len() - 1) * part / 100])
    }
}

/// One kind of start: its name, and how it is done.
pub type Arm<'a> = (&'a str, Box<dyn Fn() -> Duration + 'a>);

/// Takes every arm in turn, so that a noisy moment hits all of them, after one round that nobody counts.
pub fn interleave(runs: usize, arms: &[Arm]) -> Vec<Series> {
    let mut all: Vec<Series> = arms.iter().map(|(name, _)| Series::new(*name)).collect();
    for run in 0..=runs {
        for ((_, start), series) in arms.iter().zip(&mut all) {
            let took = start();
            if run > 0 {
                series.add(took);
            }
        }
    }
    all
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn heading(title: &str) {
    println!("\n{title}");
}

/// Times with their spread, and how many times those of `base`, which is called `whose`.
pub fn times(all: &[Series], base: &Series, whose: &str) {
    for series in all {
        let ratio = series.median().as_secs_f64() / base.median().as_secs_f64();
        println!(
            "  {:<44} {:>9.2} ms   p10 {:>8.2}   p90 {:>8.2}   {:>8.2} x {whose}",
            series.name,
            series.ms(50),
            series.ms(10),
            series.ms(90),
            ratio
        );
    }
}

/// A measured value against its target, `at most` it.
pub fn verdict(what: &str, value: f64, target: f64, unit: &str) {
    let word = if value <= target { "MET" } else { "MISSED" };
    println!("  {what:<44} {value:>9.3} {unit:<4} target {target:>8.2}   {word}");
}

/// A value without a target.
pub fn value(what: &str, value: f64, unit: &str) {
    println!("  {what:<44} {value:>9.3} {unit}");
}
