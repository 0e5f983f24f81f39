//! Forms as `application/x-www-form-urlencoded`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All characters except those that RFC 3986 calls unreserved. A space is `%20`, which every decoder of forms accepts.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The fields of a form.
#[derive(Default)]
pub(super) struct Form(String);

impl Form {
    pub(super) fn field(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    pub(super) fn fields<'a>(mut self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        fields.into_iter().for_each(|(name, value)| self.push(name, value));
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(encode(name));
        self.0.push('=');
        self.0.extend(encode(value));
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

pub(super) fn encode(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, ESCAPED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;

    use super::*;

    proptest! {
        #[test]
        fn fields_come_back(fields in proptest::collection::vec((any::<String>(), any::<String>()), 1..5)) {
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let text = Form::default().fields(pairs).into_text();
            let url = Url::parse(&format!("https://host/?{text}")).expect("a URL");
            let back: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(back, fields);
        }
    }
}
