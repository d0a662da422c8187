//! The OpenAPI document, generated from the routes.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bulkhead",
        description = "REST API of a Bulkhead server. Errors are RFC 9457 problems with a stable `code`. \
                       Clients skip fields that they do not know.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    security(("token" = [])),
    modifiers(&BearerToken),
    components(schemas(bulkhead_cloud_api::Problem)),
)]
pub(crate) struct ApiDocument;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("bht_<id>_<secret>").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document as it is committed: pretty JSON with a final newline.
pub fn document() -> String {
    let (_, document) = crate::routes::open_api_router().split_for_parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
