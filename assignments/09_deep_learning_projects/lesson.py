# %% [markdown]
# # x

# %%
from autograder import check

# %% task="windows"
check("windows")

# %% task="forecasting"
check("forecasting")

# %% task="intervals"
check("intervals")

# %% task="checks"
check("checks")

# %% task="pipeline"
check("pipeline")

# %% task="resume"
check("resume")

# %% [markdown] question="a" points=5
# x

# %% [markdown] question="b" points=5
# x
