//! A few more tries within the first seconds, with jitter: what a restart or a replica that lags behind needs.
//!
//! Never endless, never past the deadline; which trouble is worth it is the caller's decision.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::trouble::{Said, Trouble};

/// The pauses before the second and the third try.
pub type Pauses = [Duration; 2];

/// A store that restarts, or a proxy that finds none behind it.
pub const OUTAGE: Pauses = [Duration::from_millis(250), Duration::from_millis(900)];
/// A replica that has not heard of a new token yet: half a second in all.
pub const LAG: Pauses = [Duration::from_millis(120), Duration::from_millis(300)];

/// A day, in seconds: beyond any deadline, within what a clock can add.
const LONGEST: u64 = 24 * 60 * 60;

/// Tries up to three times, as long as `pauses` gives some for the trouble and there is time left.
pub async fn retrying<T>(
    end: Instant,
    pauses: impl Fn(&Trouble) -> Option<Pauses>,
    mut attempt: impl AsyncFnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut tried = 0;
    loop {
        let trouble = match attempt().await {
            Ok(done) => return Ok(done),
            Err(trouble) => trouble,
        };
        let Some(pause) = pauses(&trouble).and_then(|pauses| pauses.get(tried).copied()) else {
            return Err(trouble);
        };
        let pause = jittered(asked_for(&trouble).unwrap_or(pause));
        // A wait beyond the end is not begun: the refusal comes at once.
        if pause >= end.saturating_duration_since(Instant::now()) {
            return Err(trouble);
        }
        sleep(pause).await;
        tried += 1;
    }
}

/// What the store asks for counts more than what is usual here.
fn asked_for(trouble: &Trouble) -> Option<Duration> {
    match trouble {
        Trouble::Status(_, Said::Wait(seconds)) => Some(Duration::from_secs((*seconds).min(LONGEST))),
        _ => None,
    }
}

/// Up to a quarter more, so that a fleet does not come back in step. The hasher's keys are the only chance needed.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0u8) % 256;
    pause + pause * chance as u32 / 1024
}
