// A link may carry its token in the fragment, which no server and no log ever sees.
// It is put in the form, sent by POST, and taken out of the address bar and the history.
"use strict";

const form = document.getElementById("login");
const given = new URLSearchParams(location.hash.slice(1));

if (given.has("token")) {
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = given.get("token");
  if (given.has("next")) form.elements.next.value = given.get("next");
  form.requestSubmit();
}
