//! A request to any path of the API, for what `vaultrs` has no endpoint for or a wrong one: engines of every kind, the login
//! by certificate (whose `cert_name` there is `name` at the server), capabilities, leases.

use rustify::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::Value;

/// `GET` without a body, `POST` with one.
pub struct Call {
    pub path: String,
    pub body: Option<Value>,
}

impl Call {
    pub fn read(path: String) -> Call {
        Call { path, body: None }
    }

    pub fn write(path: String, body: Value) -> Call {
        Call { path, body: Some(body) }
    }
}

impl Endpoint for Call {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        if self.body.is_some() { RequestMethod::POST } else { RequestMethod::GET }
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_string().into_bytes()))
    }
}
