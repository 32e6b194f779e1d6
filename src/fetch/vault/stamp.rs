//! Times as the server writes them: RFC 3339 to seconds since 1970 UTC, the fraction dropped.
//!
//! Only what Go's encoder writes is read: `2026-11-24T08:25:46.501060297Z`, or an offset such as `+02:00`.

/// `None` where it is no such time.
pub fn unix_seconds(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let (year, month, day) = three(date, '-')?;
    let (clock, offset) = split_offset(rest)?;
    let (hour, minute, second) = three(without_fraction(clock)?, ':')?;
    let month_ok = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !month_ok || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn three(text: &str, between: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(between);
    let parsed = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    parts.next().is_none().then_some(parsed)
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn split_offset(rest: &str) -> Option<(&str, i64)> {
    if let Some(clock) = rest.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = rest.rfind(['+', '-'])?;
    let (hours, minutes) = rest[at + 1..].split_once(':')?;
    let seconds = number(hours)? * 3_600 + number(minutes)? * 60;
    Some((&rest[..at], if rest.as_bytes()[at] == b'-' { -seconds } else { seconds }))
}

fn without_fraction(clock: &str) -> Option<&str> {
    match clock.split_once('.') {
        None => Some(clock),
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => Some(whole),
        Some(_) => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years that begin in March put the leap day last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_the_server_writes_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-24T08:25:46.501060297Z", 1_795_508_746),
            ("2026-11-24T10:25:46.5+02:00", 1_795_508_746),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(unix_seconds(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_time() {
        for text in [
            "",
            "2026-11-24",
            "2026-02-30T00:00:00Z",
            "2026-11-24T08:25:46",
            "2026-11-24T08:25:46.Z",
            "+026-11-24T08:25:46Z",
            "2026-13-01T00:00:00Z",
            "2026-11-24T25:00:00Z",
            "2026-11-24T08:25:46+0200",
            "999999-11-24T08:25:46Z",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }
}
