//! How whole numbers read for people: on pages, in terminals, in reports. `dashboard/assets/format.js` says the same in
//! the browser. What programs read (JSON, CSV, metrics) has plain digits instead.

/// Digits in groups of three: `1,234,567`, `-400`. The comma and the minus are ASCII, so that what a terminal shows can be
/// searched and copied.
pub fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(1 + digits.len() + digits.len() / 3);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let cases: [(i128, &str); 8] = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
            (-100, "-100"),
            (-1_000, "-1,000"),
            (i64::MIN.into(), "-9,223,372,036,854,775,808"),
            (i128::MIN, "-170,141,183,460,469,231,731,687,303,715,884,105,728"),
        ];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
