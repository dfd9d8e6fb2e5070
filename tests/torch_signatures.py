"""Signatures of PyTorch 2.13, read from it: positional order, names and defaults (``*name``: keyword-only)."""

TORCH_SIGNATURES = """\
nn.Sequential: ...
nn.ModuleList: modules=None
nn.ModuleDict: modules=None
nn.Linear: in_features out_features bias=True
nn.Conv1d: in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True padding_mode='zeros'
nn.Conv2d: in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True padding_mode='zeros'
nn.MaxPool1d: kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
nn.MaxPool2d: kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
nn.AvgPool1d: kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True
nn.AvgPool2d: kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None
nn.LPPool1d: norm_type kernel_size stride=None ceil_mode=False
nn.LPPool2d: norm_type kernel_size stride=None ceil_mode=False
nn.AdaptiveAvgPool1d: output_size
nn.AdaptiveAvgPool2d: output_size
nn.AdaptiveMaxPool1d: output_size return_indices=False
nn.AdaptiveMaxPool2d: output_size return_indices=False
nn.BatchNorm1d: num_features eps=1e-05 momentum=0.1 affine=True track_running_stats=True *bias=True
nn.BatchNorm2d: num_features eps=1e-05 momentum=0.1 affine=True track_running_stats=True *bias=True
nn.LocalResponseNorm: size alpha=0.0001 beta=0.75 k=1
nn.ReLU: inplace=False
nn.ReLU6: inplace=False
nn.LeakyReLU: negative_slope=0.01 inplace=False
nn.PReLU: num_parameters=1 init=0.25
nn.SiLU: inplace=False
nn.Hardswish: inplace=False
nn.Hardsigmoid: inplace=False
nn.Hardtanh: min_val=-1 max_val=1 inplace=False min_value=None max_value=None
nn.GELU: approximate='none'
nn.ELU: alpha=1 inplace=False
nn.Softplus: beta=1 threshold=20
nn.Softmax: dim=None
nn.LogSoftmax: dim=None
nn.Softmin: dim=None
nn.Mish: inplace=False
nn.Dropout: p=0.5 inplace=False
nn.Dropout2d: p=0.5 inplace=False
nn.Flatten: start_dim=1 end_dim=-1
nn.Unflatten: dim unflattened_size
nn.ZeroPad2d: padding
nn.ConstantPad2d: padding value
nn.CrossEntropyLoss: weight=None size_average=None ignore_index=-100 reduce=None reduction='mean' label_smoothing=0
nn.NLLLoss: weight=None size_average=None ignore_index=-100 reduce=None reduction='mean'
nn.MSELoss: size_average=None reduce=None reduction='mean'
nn.L1Loss: size_average=None reduce=None reduction='mean'
nn.SmoothL1Loss: size_average=None reduce=None reduction='mean' beta=1
nn.HuberLoss: reduction='mean' delta=1
nn.BCELoss: weight=None size_average=None reduce=None reduction='mean'
nn.BCEWithLogitsLoss: weight=None size_average=None reduce=None reduction='mean' pos_weight=None
nn.MultiMarginLoss: p=1 margin=1 weight=None size_average=None reduce=None reduction='mean'
F.linear: input weight bias=None
F.conv1d: input weight bias=None stride=1 padding=0 dilation=1 groups=1
F.conv2d: input weight bias=None stride=1 padding=0 dilation=1 groups=1
F.max_pool1d: input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False
F.max_pool2d: input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False
F.avg_pool1d: input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True
F.avg_pool2d: input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None
F.lp_pool1d: input norm_type kernel_size stride=None ceil_mode=False
F.lp_pool2d: input norm_type kernel_size stride=None ceil_mode=False
F.adaptive_avg_pool1d: input output_size
F.adaptive_avg_pool2d: input output_size
F.adaptive_max_pool1d: input output_size return_indices=False
F.adaptive_max_pool2d: input output_size return_indices=False
F.batch_norm: input running_mean running_var weight=None bias=None training=False momentum=0.1 eps=1e-05
F.local_response_norm: input size alpha=0.0001 beta=0.75 k=1
F.relu: input inplace=False
F.relu6: input inplace=False
F.leaky_relu: input negative_slope=0.01 inplace=False
F.prelu: input weight
F.sigmoid: input
F.tanh: input
F.silu: input inplace=False
F.hardswish: input inplace=False
F.hardsigmoid: input inplace=False
F.hardtanh: input min_val=-1 max_val=1 inplace=False
F.gelu: input approximate='none'
F.elu: input alpha=1 inplace=False
F.softplus: input beta=1 threshold=20
F.softmax: input dim=None _stacklevel=3 dtype=None
F.log_softmax: input dim=None _stacklevel=3 dtype=None
F.softmin: input dim=None _stacklevel=3 dtype=None
F.softsign: input
F.logsigmoid: input
F.mish: input inplace=False
F.dropout: input p=0.5 training=True inplace=False
F.dropout2d: input p=0.5 training=True inplace=False
F.cross_entropy: input target weight=None size_average=None ignore_index=-100 reduce=None reduction='mean' label_smoothing=0
F.nll_loss: input target weight=None size_average=None ignore_index=-100 reduce=None reduction='mean'
F.mse_loss: input target size_average=None reduce=None reduction='mean' weight=None
F.l1_loss: input target size_average=None reduce=None reduction='mean' weight=None
F.smooth_l1_loss: input target size_average=None reduce=None reduction='mean' beta=1
F.huber_loss: input target reduction='mean' delta=1 weight=None
F.binary_cross_entropy: input target weight=None size_average=None reduce=None reduction='mean'
F.binary_cross_entropy_with_logits: input target weight=None size_average=None reduce=None reduction='mean' pos_weight=None
F.multi_margin_loss: input target p=1 margin=1 weight=None size_average=None reduce=None reduction='mean'
F.pad: input pad mode='constant' value=None
F.normalize: input p=2 dim=1 eps=1e-12 out=None
init.calculate_gain: nonlinearity param=None
init.constant_: tensor val
init.dirac_: tensor groups=1
init.eye_: tensor
init.kaiming_normal_: tensor a=0 mode='fan_in' nonlinearity='leaky_relu' generator=None
init.kaiming_uniform_: tensor a=0 mode='fan_in' nonlinearity='leaky_relu' generator=None
init.normal_: tensor mean=0 std=1 generator=None
init.ones_: tensor
init.orthogonal_: tensor gain=1 generator=None
init.sparse_: tensor sparsity std=0.01 generator=None
init.trunc_normal_: tensor mean=0 std=1 a=-2 b=2 generator=None
init.uniform_: tensor a=0 b=1 generator=None
init.xavier_normal_: tensor gain=1 generator=None
init.xavier_uniform_: tensor gain=1 generator=None
init.zeros_: tensor
"""  # noqa: E501
