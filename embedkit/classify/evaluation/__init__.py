"""Classifier heads judged on test photos: how good each is, and which differences are real."""
