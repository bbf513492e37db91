"""The verifier `choice`: multiple choice by the letters of the options.

`letters` reads letters in a short text, `answers` finds that text in a response, `prose` is the last resort, and
`references` reads the gold.
"""
