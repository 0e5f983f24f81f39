//! A rule made from a seed.

use std::sync::Mutex;
use std::time::Duration;

use super::{Fault, Seen};
use crate::faults::seed::Dice;

/// Returns a rule that gives `percent` of all requests a fault, each kind equally often. Faults that leave the outcome
/// of a write unknown, and make a read fail, are for writes only.
pub(crate) fn weather(seed: u64, percent: u64) -> impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static {
    let dice = Mutex::new(Dice::new(seed));
    move |seen, _| {
        let dice = dice.lock().expect("no test panics with the lock");
        if !dice.happens(percent) {
            return Fault::None;
        }
        match dice.below(14) {
            0 => Fault::LoseRequest,
            1 => Fault::LoseAnswer,
            2 => Fault::Late(1 + dice.below(20) as usize),
            3 => Fault::Status(503),
            4 => Fault::Busy(None),
            5 => Fault::Busy(Some(1 + dice.below(3) as u32)),
            6 => Fault::Delay(Duration::from_millis(dice.below(50))),
            7 => Fault::CutBody,
            8 => Fault::SlowBytes,
            9 => Fault::Foreign([200, 302, 400, 404, 500][dice.below(5) as usize]),
            10 => Fault::DoneButForeign([200, 302, 400, 404, 500][dice.below(5) as usize]),
            11 if seen.is_write() => Fault::DoneButStatus([408, 500, 503][dice.below(3) as usize]),
            12 if seen.is_write() => Fault::DoneButGarbled,
            11 | 12 => Fault::None,
            _ => Fault::FailItem,
        }
    }
}

/// Returns a rule that loses or cuts the answer to a bulk that was done, or replaces it by a 500, each equally often,
/// in `percent` of all bulks.
pub(crate) fn lost_answers(seed: u64, percent: u64) -> impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static {
    const WAYS: [Fault; 4] = [Fault::LoseAnswer, Fault::CutBody, Fault::DoneButStatus(500), Fault::DoneButForeign(500)];
    let dice = Mutex::new(Dice::new(seed));
    move |seen, _| {
        let dice = dice.lock().expect("no test panics with the lock");
        if !seen.path.contains("/_bulk?") || !dice.happens(percent) {
            return Fault::None;
        }
        WAYS[dice.below(WAYS.len() as u64) as usize]
    }
}
