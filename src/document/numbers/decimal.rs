//! Decimal numbers of any precision, compared by value.

/// A decimal number, independent of the form of its text: `1.50`, `15E-1` and `1.5` are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    is_negative: bool,
    /// The digits without leading and trailing zeros. Zero has none.
    digits: String,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl Decimal {
    /// Reads the text of a JSON number.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len().saturating_sub(significant.len())).ok()?;
        let behind_point = i64::try_from(fraction.len()).ok()?;
        let significant = significant.trim_start_matches('0').to_owned();
        if significant.is_empty() {
            return Some(Self { is_negative, digits: significant, exponent: 0 });
        }
        let exponent = exponent_of(exponent).saturating_sub(behind_point).saturating_add(dropped);
        Some(Self { is_negative, digits: significant, exponent })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }
}

/// Returns the exponent. All exponents beyond 64 bits count as equal, since no such number can be read.
fn exponent_of(text: &str) -> i64 {
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.strip_prefix('+').unwrap_or(text).parse().unwrap_or(limit)
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{}e{}", self.digits, self.exponent)
    }
}
