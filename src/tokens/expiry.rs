//! Expiry times: from a lifetime to a time, and from the stored text to a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Error, Result};

/// Returns the time `lifetime` after `start`. A token with a lifetime of zero has expired.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if that is beyond the year 9999.
pub(super) fn after(start: Timestamp, lifetime: Duration) -> Result<Timestamp> {
    let end = SignedDuration::try_from(lifetime).and_then(|lifetime| start.checked_add(lifetime));
    end.map_err(|error| {
        Error::invalid(
            format!("a lifetime of {} s ends beyond the year 9999", lifetime.as_secs()),
            "give the lifetime in seconds, or none for a token that does not expire",
        )
        .with_source(error)
    })
}

/// As [`after`], for the lifetime that a provider reports. If it is absent or zero, it is unknown, and the result is
/// `None`.
pub(super) fn after_if_known(start: Timestamp, lifetime: Option<Duration>) -> Result<Option<Timestamp>> {
    lifetime.filter(|lifetime| !lifetime.is_zero()).map(|lifetime| after(start, lifetime)).transpose()
}

/// Reads a stored time. Returns `None` if the text is not a time in UTC or with an offset.
pub(super) fn parse(stored: &str) -> Option<Timestamp> {
    stored.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::environment::iso_millis;

    fn moment(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    #[test]
    fn lifetimes_end_where_they_should() {
        let now = moment("2026-03-01T10:00:00.250Z");
        let table = [
            (None, None),
            (Some(0), None),
            (Some(1), Some("2026-03-01T10:00:01.250Z")),
            (Some(3600), Some("2026-03-01T11:00:00.250Z")),
            (Some(15_724_800), Some("2026-08-30T10:00:00.250Z")),
        ];
        for (seconds, expected) in table {
            let end = after_if_known(now, seconds.map(Duration::from_secs)).expect("in time");
            assert_eq!(end.map(iso_millis).as_deref(), expected);
        }
    }

    #[test]
    fn what_is_not_a_moment_is_none() {
        assert_eq!(parse("2021-01-01T12:16:40.000Z"), Some(moment("2021-01-01T12:16:40Z")));
        assert_eq!(parse("2021-01-01T13:16:40+01:00"), Some(moment("2021-01-01T12:16:40Z")));
        for text in ["", "yo", "Invalid Date", "1609503400000", "2021-01-01T12:16:40"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_lifetime_ends_or_is_refused(seconds in any::<u64>()) {
            let now = moment("2026-03-01T10:00:00Z");
            match after(now, Duration::from_secs(seconds)) {
                Ok(end) => {
                    let lasted = end.as_second() - now.as_second();
                    prop_assert_eq!(lasted, i64::try_from(seconds).expect("in range"));
                }
                Err(error) => prop_assert_eq!(error.kind(), crate::ErrorKind::Invalid),
            }
        }

        #[test]
        fn stored_moments_come_back_to_the_millisecond(millis in 0_i64..253_402_300_799_999) {
            let moment = Timestamp::from_millisecond(millis).expect("in range");
            prop_assert_eq!(parse(&iso_millis(moment)), Some(moment));
        }
    }
}
