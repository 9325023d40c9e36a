//! The pages of operators and of session holders, and what they load.

use integration_tests::{Response, Stack, json};

use super::api::Api;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// What a page names in `src` and `href`.
fn loaded(page: &Response) -> Vec<String> {
    let text = page.text();
    let parts = text.split(['"', ' ', '<', '>']).map(str::to_owned).collect::<Vec<_>>();
    let pairs = parts.windows(2).filter(|pair| matches!(pair[0].as_str(), "src=" | "href="));
    pairs.map(|pair| pair[1].clone()).filter(|target| !target.starts_with('#')).collect()
}

#[tokio::test]
async fn pages_and_assets() {
    let stack = Stack::start().await;
    let api = Api::new(&stack);
    for (folder, own) in [("/console", "console.js"), ("/account", "account.js")] {
        let page = api.send("GET", folder, |r| r).await.expect(200);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("content-security-policy"), POLICY);
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        let targets = loaded(&page);
        assert!(
            targets.len() >= 4 && targets.iter().all(|target| target.starts_with(&format!("{folder}/"))),
            "{targets:?}"
        );
        let modules = api.send("GET", &format!("{folder}/{own}"), |r| r).await.expect(200).text();
        let imports = modules.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
        for path in targets.into_iter().chain(imports.map(|name| format!("{folder}/{name}"))) {
            let asset = api.send("GET", &path, |r| r).await.expect(200);
            assert!(!asset.body.is_empty() && asset.header("content-security-policy").is_empty(), "{path}");
            let tag = asset.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.len() == 24, "{path}: {tag} is strong");
            let again = api.send("GET", &path, |r| r.header("if-none-match", &tag)).await.expect(304);
            assert_eq!(again.header("etag"), tag);
            api.send("GET", &path, |r| r.header("if-none-match", "\"other\"")).await.expect(200);
        }
        api.send("GET", folder, |r| r.header("if-none-match", page.header("etag"))).await.expect(304);
        for path in [folder.to_owned(), format!("{folder}/{own}")] {
            let refused = api.send("GET", &format!("{path}?access_token=x"), |r| r).await;
            refused.expect_problem(400, "invalid_request");
        }
        for unknown in ["package.json", "console.html", "..%2FCargo.toml", "console.js%00"] {
            api.send("GET", &format!("{folder}/{unknown}"), |r| r).await.expect_problem(404, "not_found");
        }
    }
    api.assert_complete(&["getConsole", "getConsoleAsset", "getAccountPage", "getAccountAsset"]);
}

/// The origins of the deployment, and no others, may embed the account page; nobody embeds the console.
#[tokio::test]
async fn listed_parents_embed_the_account_page_alone() {
    let origins = "https://shop.example,https://app.example:8443";
    let stack = Stack::builder().with_variable("ACCOUNT_PARENT_ORIGINS", origins).start().await;
    let api = Api::new(&stack);
    let account = api.send("GET", "/account", |r| r).await.expect(200);
    let allowed =
        POLICY.replace("frame-ancestors 'none'", "frame-ancestors https://shop.example https://app.example:8443");
    assert_eq!(account.header("content-security-policy"), allowed);
    assert!(
        account.text().contains(r#"name="parent-origins" content="https://shop.example https://app.example:8443""#)
    );
    let console = api.send("GET", "/console", |r| r).await.expect(200);
    assert_eq!(console.header("content-security-policy"), POLICY);
    assert_eq!(api.send("GET", "/health", |r| r).await.json(), json!({ "status": "ok" }));
}
