use integration_tests::routes::{RouteTable, percent_decode, percent_encode};
use integration_tests::template::Template;

const SAMPLE: &str = r#"
AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Table:
    Type: AWS::DynamoDB::Table
  GetSessionFunction:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties: {Binary: get-session}
    Properties:
      Events:
        Get:
          Type: HttpApi
          Properties: {ApiId: !Ref Api, Path: '/sessions/{sessionId}', Method: GET}
        Any:
          Type: HttpApi
          Properties:
            Path: /sessions/{sessionId}   # a comment
            Method: ANY
        Nightly:
          Type: Schedule
          Properties:
            Schedule: rate(1 day)
  RedeemShareFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Redeem:
          Type: HttpApi
          Properties:
            Path: /sessions/redeem
            Method: post
  ListUserSessionsFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        List: {Type: HttpApi, Properties: {Path: "/sessions/user/{userId}", Method: GET}}
        Rest: {Type: HttpApi, Properties: {Path: "/files/{rest+}", Method: GET}}
"#;

fn table() -> RouteTable {
    RouteTable::from_template(&Template::parse(SAMPLE))
}

fn function(method: &str, path: &str) -> Option<String> {
    table().find(method, path).map(|route| route.function)
}

#[test]
fn routes_come_from_the_http_events_of_functions() {
    let table = table();
    let routes: Vec<_> = table.iter().collect();
    assert_eq!(routes.len(), 5);
    assert!(routes.contains(&("GET", "/sessions/{sessionId}", "get-session")));
    assert!(routes.contains(&("POST", "/sessions/redeem", "redeem-share")));
}

#[test]
fn static_segments_win_over_parameters() {
    assert_eq!(function("POST", "/sessions/redeem").as_deref(), Some("redeem-share"));
    assert_eq!(function("POST", "/sessions/other").as_deref(), Some("get-session"));
    assert_eq!(function("GET", "/sessions/user/ada").as_deref(), Some("list-user-sessions"));
}

#[test]
fn a_named_method_wins_over_any() {
    assert_eq!(table().find("GET", "/sessions/x").unwrap().route_key, "GET /sessions/{sessionId}");
    assert_eq!(table().find("PUT", "/sessions/x").unwrap().route_key, "ANY /sessions/{sessionId}");
}

#[test]
fn parameters_are_decoded_after_the_path_is_split() {
    let route = table().find("GET", "/sessions/user/a%2Fb%20c").unwrap();
    assert_eq!(route.parameters["userId"], "a/b c");
    let route = table().find("GET", "/files/a/b%20c").unwrap();
    assert_eq!(route.parameters["rest"], "a/b c");
}

#[test]
fn what_no_route_names_is_not_found() {
    for (method, path) in
        [("GET", "/"), ("GET", "/sessions"), ("GET", "/sessions/"), ("GET", "/sessions/a/b"), ("POST", "/files/a")]
    {
        assert_eq!(function(method, path), None, "{method} {path}");
    }
}

#[test]
fn percent_coding_round_trips() {
    for text in ["plain", "a/b c", "50%", "ünï", "a+b"] {
        assert_eq!(percent_decode(&percent_encode(text)), text);
    }
    assert_eq!(percent_decode("%zz%4"), "%zz%4");
}
