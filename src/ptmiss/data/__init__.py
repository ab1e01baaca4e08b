"""The embedded sample; README.md beside this file is its card, `production` its maker."""
