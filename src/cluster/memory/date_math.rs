//! Date math: `now-1y`, `now/d`, `2026-01-01||+1M/d`.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use crate::document::date::{self, DateRange};

/// Returns the moments that a text of a query denotes at the time `now`, in milliseconds since 1970: a date, or date
/// math. Rounding (`now/d`) denotes all of the unit.
///
/// # Errors
/// What is wrong with the text, without the text.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<DateRange, &'static str> {
    let (start, steps) = match (text.strip_prefix("now"), text.split_once("||")) {
        // The server's clock has milliseconds.
        (Some(steps), _) => (now.as_millisecond(), steps),
        (None, Some((start, steps))) => (date::parse(start).ok_or(NO_DATE)?.first, steps),
        (None, None) => return date::parse(text).ok_or(NO_DATE),
    };
    Ok(DateRange { first: calculate(start, steps, false)?, last: calculate(start, steps, true)? })
}

/// The error of a text that is no date.
pub(super) const NO_DATE: &str = "failed to parse date field";
const TOO_FAR: &str = "date math leads out of the years that dates have";
const TRUNCATED: &str = "truncated date math";

/// Returns the moment to which `steps` lead from `start`. With `up`, a rounding leads to the last millisecond of its
/// unit, otherwise to the first.
fn calculate(start: i64, steps: &str, up: bool) -> Result<i64, &'static str> {
    let start = Timestamp::from_millisecond(start).map_err(|_| TOO_FAR)?;
    let mut moment = TimeZone::UTC.to_datetime(start);
    let mut rest = steps;
    while let Some(operator) = rest.chars().next() {
        if !matches!(operator, '+' | '-' | '/') {
            return Err("operator not supported for date math");
        }
        let step = rest.get(1..).unwrap_or_default();
        let unit_and_rest = step.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let digits = step.strip_suffix(unit_and_rest).unwrap_or_default();
        let unit = unit_and_rest.chars().next().ok_or(TRUNCATED)?;
        let count: i32 = if digits.is_empty() { 1 } else { digits.parse().map_err(|_| TOO_FAR)? };
        moment = match operator {
            '/' if count != 1 => return Err("rounding `/` can only be used on single unit types"),
            '/' => rounded(moment, unit, up)?,
            '-' => moved(moment, unit, -i64::from(count))?,
            _ => moved(moment, unit, i64::from(count))?,
        };
        rest = unit_and_rest.get(unit.len_utf8()..).unwrap_or_default();
    }
    Ok(TimeZone::UTC.to_timestamp(moment).map_err(|_| TOO_FAR)?.as_millisecond())
}

fn moved(moment: DateTime, unit: char, count: i64) -> Result<DateTime, &'static str> {
    let span = Span::new();
    let span = match unit {
        'y' => span.try_years(count),
        'M' => span.try_months(count),
        'w' => span.try_weeks(count),
        'd' => span.try_days(count),
        'h' | 'H' => span.try_hours(count),
        'm' => span.try_minutes(count),
        's' => span.try_seconds(count),
        _ => return Err("unit not supported for date math"),
    };
    span.and_then(|span| moment.checked_add(span)).map_err(|_| TOO_FAR)
}

fn rounded(moment: DateTime, unit: char, up: bool) -> Result<DateTime, &'static str> {
    let (day, time) = (moment.date(), moment.time());
    let clock = |minute, second| Time::new(time.hour(), minute, second, 0).map_err(|_| TOO_FAR);
    let first = match unit {
        'y' => day.first_of_year().to_datetime(Time::midnight()),
        'M' => day.first_of_month().to_datetime(Time::midnight()),
        'w' => {
            let since_monday = i64::from(day.weekday().to_monday_zero_offset());
            day.checked_sub(since_monday.days()).map_err(|_| TOO_FAR)?.to_datetime(Time::midnight())
        }
        'd' => day.to_datetime(Time::midnight()),
        'h' | 'H' => day.to_datetime(clock(0, 0)?),
        'm' => day.to_datetime(clock(time.minute(), 0)?),
        's' => day.to_datetime(clock(time.minute(), time.second())?),
        _ => return Err("unit not supported for date math"),
    };
    match up {
        false => Ok(first),
        true => moved(first, unit, 1)?.checked_sub(1.millisecond()).map_err(|_| TOO_FAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(millis: i64) -> String {
        crate::environment::iso_millis(Timestamp::from_millisecond(millis).expect("a moment"))
    }

    #[test]
    fn moments_are_calculated_from_now_and_from_dates() {
        // A Wednesday.
        let now: Timestamp = "2024-02-28T13:45:30.123456Z".parse().expect("a moment");
        let one = |text: &str| format!("{text} {text}");
        let table = [
            ("now", one("2024-02-28T13:45:30.123Z")),
            ("now-1y", one("2023-02-28T13:45:30.123Z")),
            ("now+1d-30m", one("2024-02-29T13:15:30.123Z")),
            ("now-2w", one("2024-02-14T13:45:30.123Z")),
            ("now+d", one("2024-02-29T13:45:30.123Z")),
            ("now-10s", one("2024-02-28T13:45:20.123Z")),
            ("now/d", "2024-02-28T00:00:00.000Z 2024-02-28T23:59:59.999Z".to_owned()),
            ("now/w", "2024-02-26T00:00:00.000Z 2024-03-03T23:59:59.999Z".to_owned()),
            ("now/M", "2024-02-01T00:00:00.000Z 2024-02-29T23:59:59.999Z".to_owned()),
            ("now/y", "2024-01-01T00:00:00.000Z 2024-12-31T23:59:59.999Z".to_owned()),
            ("now/h", "2024-02-28T13:00:00.000Z 2024-02-28T13:59:59.999Z".to_owned()),
            ("now/m", "2024-02-28T13:45:00.000Z 2024-02-28T13:45:59.999Z".to_owned()),
            ("now/s", "2024-02-28T13:45:30.000Z 2024-02-28T13:45:30.999Z".to_owned()),
            ("now-1d/d", "2024-02-27T00:00:00.000Z 2024-02-27T23:59:59.999Z".to_owned()),
            ("2026-01-31||+1M", one("2026-02-28T00:00:00.000Z")),
            ("2026-01-01||/M", "2026-01-01T00:00:00.000Z 2026-01-31T23:59:59.999Z".to_owned()),
            ("2026||+1h", one("2026-01-01T01:00:00.000Z")),
            ("2026-01-01||", one("2026-01-01T00:00:00.000Z")),
            ("2026-01-01", "2026-01-01T00:00:00.000Z 2026-01-01T23:59:59.999Z".to_owned()),
        ];
        for (text, expected) in table {
            let DateRange { first, last } = parse(text, now).expect(text);
            assert_eq!(format!("{} {}", shown(first), shown(last)), expected, "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "now*2",
            "now-",
            "now-1",
            "now-1q",
            "now/2d",
            "now-99999999999y",
            "now+90000y",
            "x||+1d",
            "2026-01-01||1d",
            "now ",
            "now-1\u{e4}",
        ] {
            assert!(parse(wrong, now).is_err(), "{wrong}");
        }
    }
}
