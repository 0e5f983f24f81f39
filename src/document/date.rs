//! The server's default date format, `strict_date_optional_time||epoch_millis`, without date math.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

/// The range of moments, in milliseconds since 1970, that a date text denotes. `2021-01` denotes the whole month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateRange {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Returns the milliseconds that `text` denotes, or `None` if the format does not accept it.
pub(crate) fn parse(text: &str) -> Option<DateRange> {
    parse_iso(text).or_else(|| parse_millis(text))
}

/// Returns whether only the server can interpret `text`: it is in a year before 0 or in a named time zone
/// (`Europe/Berlin`).
pub(crate) fn is_left_to_the_server(text: &str) -> bool {
    if text.strip_prefix('-').is_some_and(|rest| rest.contains('-') && parse_iso(rest).is_some()) {
        return true;
    }
    let Some((date, time)) = text.split_once('T') else { return false };
    let zone = time.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | ','));
    let clock = time.strip_suffix(zone).unwrap_or_default();
    zone.starts_with(|c: char| c.is_ascii_alphabetic()) && zone != "Z" && parse(&format!("{date}T{clock}")).is_some()
}

fn parse_millis(text: &str) -> Option<DateRange> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let millis = whole.parse().ok().filter(|_| is_number && !whole.starts_with('+'))?;
    Some(DateRange { first: millis, last: millis })
}

fn parse_iso(text: &str) -> Option<DateRange> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |part| part.map(Some))?;
    let day = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |part| part.map(Some))?;
    if parts.next().is_some() || (day.is_none() && time.is_some()) {
        return None;
    }
    let first_day = Date::new(year, month.unwrap_or(1) as i8, day.unwrap_or(1) as i8).ok()?;
    let last_day = match (month, day) {
        (_, Some(_)) => first_day,
        (Some(_), None) => first_day.last_of_month(),
        (None, None) => first_day.last_of_year(),
    };
    let (clock, offset_minutes) = match time {
        Some(time) => split_zone(time)?,
        None => ("", 0),
    };
    let (earliest, latest) = parse_clock(clock)?;
    let millis = |day: Date, time: Time| {
        let since: SignedDuration = day.to_datetime(time).duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        i64::try_from(since.as_millis()).ok().map(|millis| millis - offset_minutes * 60_000)
    };
    Some(DateRange { first: millis(first_day, earliest)?, last: millis(last_day, latest)? })
}

/// Returns the first and the last moment that `HH:mm:ss.fraction` denotes. Every part except the first is optional.
fn parse_clock(clock: &str) -> Option<(Time, Time)> {
    if clock.is_empty() {
        return Some((Time::MIN, Time::MAX));
    }
    let (whole, fraction) = match clock.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let parts: Vec<i16> = whole.split(':').map(|part| digits(part, 2)).collect::<Option<_>>()?;
    let nanos: Option<i32> = match fraction {
        Some(text) if !(1..=9).contains(&text.len()) || parts.len() != 3 => return None,
        Some(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(text) => Some(format!("{text:0<9}").parse().ok()?),
        None => None,
    };
    let part = |position: usize, missing: i8| parts.get(position).map_or(missing, |&part| part as i8);
    let time = |minute, second, missing_nanos| {
        Time::new(part(0, 0), part(1, minute), part(2, second), nanos.unwrap_or(missing_nanos)).ok()
    };
    if parts.len() > 3 {
        return None;
    }
    Some((time(0, 0, 0)?, time(59, 59, 999_999_999)?))
}

/// Splits a time into the clock part and the zone's minutes east of Greenwich. The zone is `Z`, `+01:00`, `+0100`,
/// `+01` or absent.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return (!clock.is_empty()).then_some((clock, 0));
    }
    let Some(position) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (clock, zone) = (time.get(..position)?, time.get(position + 1..)?);
    let (hours, minutes) = match zone.len() {
        2 => (zone, "00"),
        4 => (zone.get(..2)?, zone.get(2..)?),
        5 => zone.split_once(':')?,
        _ => return None,
    };
    let east = i64::from(digits(hours, 2)?) * 60 + i64::from(digits(minutes, 2)?);
    (!clock.is_empty()).then_some((clock, if time.get(position..)?.starts_with('-') { -east } else { east }))
}

fn digits(text: &str, count: usize) -> Option<i16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_a_real_server_takes_them() {
        let table = [
            ("2021-01-01T12:16:40.000Z", 1_609_503_400_000, 1_609_503_400_000),
            ("2021-01-01T12:16:40Z", 1_609_503_400_000, 1_609_503_400_999),
            ("2021-01-01T12:16:40,5Z", 1_609_503_400_500, 1_609_503_400_500),
            ("2021-01-01T13:16:40.000+01:00", 1_609_503_400_000, 1_609_503_400_000),
            ("2021-01-01T11:16:40.000-0100", 1_609_503_400_000, 1_609_503_400_000),
            ("2021-01-01T12", 1_609_502_400_000, 1_609_505_999_999),
            ("2021-01-01T", 1_609_459_200_000, 1_609_545_599_999),
            ("2021-01-01", 1_609_459_200_000, 1_609_545_599_999),
            ("2021-02", 1_612_137_600_000, 1_614_556_799_999),
            ("2021", 1_609_459_200_000, 1_640_995_199_999),
            ("1609503400000", 1_609_503_400_000, 1_609_503_400_000),
            ("1609503400000.5", 1_609_503_400_000, 1_609_503_400_000),
            ("-5", -5, -5),
        ];
        for (text, first, last) in table {
            assert_eq!(parse(text), Some(DateRange { first, last }), "{text}");
        }
        for bad in [
            "",
            "x",
            "now",
            "2021-13-01",
            "2021-1-1",
            "2021-02-30",
            "2021-01-01 12:16:40",
            "2021-01-01t12:16:40z",
            "2021-01-01Z",
            "2021-01-01T12:16:60Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T12:16:40.1234567890Z",
            "12021-01-01",
            "2021-01-01||+1d",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn zones_with_names_and_years_before_0_are_left_to_the_server() {
        for (text, expected) in [
            ("2021-01-01T12:16:40Europe/Berlin", true),
            ("2021-01-01T12UTC", true),
            ("-0001-01-01", true),
            ("-2021", false),
            ("2021-01-01T12:16:40Z", false),
            ("2021-01-01T12:16:40+01:00", false),
            ("2021-13-01T12:16:40UTC", false),
            ("yesterday", false),
            ("The day before", false),
        ] {
            assert_eq!(is_left_to_the_server(text), expected, "{text}");
        }
    }
}
