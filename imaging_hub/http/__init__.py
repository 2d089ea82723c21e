"""Web kit of every app: pages, sessions, authentication, health, errors. It knows neither zone."""
