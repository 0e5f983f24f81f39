use saved_objects::cluster::InMemory;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
pub(crate) trait Front {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer;
}
impl Front for InMemory {
    fn answer(&self, _: &HttpRequest) -> HttpAnswer {
        HttpAnswer { status: 503, is_elasticsearch: true, retry_after: None, body: bytes::Bytes::new() }
    }
}
