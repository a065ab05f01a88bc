(** * Convolutions computed are those of the file

    - [each_planes]: unit by unit, or channel by channel;
    - [keys_from_are], [planes_are]: the numbers of units that Units.v counts;
    - [full_near]: what [outputs_of] computes from all weights stands for the convolution of File.v,
      its biases rounded; [make_strip], [make_few]: what it computes from the others is the stripped
      form.

    Rests on Reading.v, Lists.v, Near.v and Annotation.v. What is added to it: Added.v. *)

From Coq Require Import Reals Lra Lia List ZArith NArith Arith Bool Uint63.
From Lastbit Require Import Statement Totals operations.Convolution network.Near.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require Import onnx.File onnx.Units onnx.Reading onnx.Lists.
Import ListNotations.
Open Scope nat_scope.

(** ** Keys *)

Lemma key_binary k : N.succ_pos (N.of_nat k) = key k.
Proof. destruct k; reflexivity. Qed.

Lemma keys_are k n : keys (key k) n = map (fun i => key (k + i)) (seq 0 n).
Proof.
  revert k. induction n as [|n IH]; intros k; [reflexivity|]. cbn [keys seq map].
  rewrite Nat.add_0_r. f_equal. change (Pos.succ (key k)) with (key (S k)).
  rewrite IH, <- seq_shift, map_map. apply map_ext. intros i. now rewrite Nat.add_succ_comm.
Qed.

Lemma keys_from_are k n : keys_from k n = map (fun i => key (k + i)) (seq 0 n).
Proof. unfold keys_from. now rewrite key_binary, keys_are. Qed.

Lemma planes_are t :
  planes t = map (fun c => map (fun i => key (first t + (c * area t + i))) (seq 0 (area t)))
  (seq 0 (channels t)).
Proof.
  unfold planes, upto. rewrite map_map. apply map_ext. intros c.
  rewrite <- Nat2N.inj_mul, <- Nat2N.inj_add, key_binary, keys_are. apply map_ext. intros i.
  f_equal. lia.
Qed.

(** Unit by unit, or channel by channel. *)
Lemma each_planes t f : each t f =
  flat_map (fun c => map (fun i => f c (first t + (c * area t + i))) (seq 0 (area t)))
  (seq 0 (channels t)).
Proof.
  unfold each. replace (units_of t) with (channels t * area t) by (unfold units_of, area; lia).
  rewrite <- (rows_of (fun c i => f c (first t + (c * area t + i)))). apply map_ext_in. intros n Hn.
  apply in_seq in Hn. do 2 f_equal.
  rewrite (Nat.div_mod n (area t)) at 1 by (intros Z; rewrite Z in Hn; lia). lia.
Qed.

(** ** Convolutions *)

Lemma of_leb a b : (N.of_nat a <=? N.of_nat b)%N = (a <=? b).
Proof. destruct (N.leb_spec (N.of_nat a) (N.of_nat b)), (Nat.leb_spec a b); lia. Qed.
Lemma of_ltb a b : (N.of_nat a <? N.of_nat b)%N = (a <? b).
Proof. destruct (N.ltb_spec (N.of_nat a) (N.of_nat b)), (Nat.ltb_spec a b); lia. Qed.

Definition few (o : cunit) : Prop := (Z.of_nat (terms_of o) <= most_terms)%Z.

Definition spot_index (rows cols : nat) (s : N * N * N) : nat :=
  let '(i, a, b) := s in (N.to_nat i * rows + N.to_nat a) * cols + N.to_nat b.

Lemma spots_flat {A} (f : N * N * N -> list A) per rows cols : flat_map f (spots per rows cols) =
  flat_map (fun i => flat_map (fun a => flat_map (fun b => f (N.of_nat i, N.of_nat a,
    N.of_nat b)) (seq 0 cols)) (seq 0 rows)) (seq 0 per).
Proof.
  unfold spots, upto. rewrite flat_map_flat, flat_map_map. apply flat_ext. intros i _.
  rewrite flat_map_flat, flat_map_map. apply flat_ext. intros a _. now rewrite !flat_map_map.
Qed.

Lemma spots_index per rows cols : map (spot_index rows cols) (spots per rows cols) =
  seq 0 (per * rows * cols).
Proof.
  transitivity (flat_map (fun s => [spot_index rows cols s]) (spots per rows cols)).
  { induction (spots per rows cols) as [|s l IH]; [reflexivity|]. cbn. now rewrite IH. }
  rewrite spots_flat, (seq_rows (per * rows)), (seq_rows per rows), flat_map_flat. apply flat_ext.
  intros i _. rewrite flat_map_map. apply flat_ext. intros a _. unfold spot_index.
  rewrite !Nat2N.id. clear. induction (seq 0 cols) as [|b l IH]; [reflexivity|].
  cbn [flat_map map app]. now rewrite Nat2N.id, IH.
Qed.

Lemma spots_length per rows cols : length (spots per rows cols) = per * rows * cols.
Proof. now rewrite <- (length_map (spot_index rows cols)), spots_index, length_seq. Qed.

Lemma in_spots per rows cols i a b : i < per -> a < rows -> b < cols ->
  In (N.of_nat i, N.of_nat a, N.of_nat b) (spots per rows cols).
Proof.
  intros Hi Ha Hb. unfold spots, upto. apply in_flat_map. exists (N.of_nat i).
  split; [apply in_map, in_seq; lia|]. apply in_flat_map. exists (N.of_nat a).
  split; [apply in_map, in_seq; lia|]. apply in_map_iff. exists (N.of_nat b).
  split; [reflexivity|apply in_map, in_seq; lia].
Qed.

Section Conv.
Variables (file : list int) (t : tensor) (win : window) (over : option Z).

Notation outputs := (w_outputs win).
Notation rows := (w_rows win).
Notation cols := (w_cols win).
Notation stride_y := (w_stride_y win).
Notation stride_x := (w_stride_x win).
Notation top := (w_top win).
Notation left := (w_left win).
Notation h := (w_height win).
Notation w := (w_width win).
Let per : nat := channels t / w_groups win.
Let k : kernel := kernel_at file per win.
Let shared : nat := outputs / w_groups win.

Let reach' : N -> N -> N -> N * N * N * Z -> sparse :=
  reach (N.of_nat (first t)) (N.of_nat (height t)) (N.of_nat (width t)) (N.of_nat stride_y)
  (N.of_nat stride_x)
    (N.of_nat top) (N.of_nat left).
Let make : N * list (N * N * N * Z) -> N * Z -> list cunit :=
  outputs_of over (N.of_nat (first t)) (N.of_nat (height t)) (N.of_nat (width t)) (N.of_nat
    stride_y) (N.of_nat stride_x)
    (N.of_nat top) (N.of_nat left) (N.of_nat shared) (N.of_nat per) (upto h) (upto w).

Lemma reach_is c y x i a b z :
  reach' (N.of_nat c) (N.of_nat y) (N.of_nat x) (N.of_nat i, N.of_nat a, N.of_nat b, z) =
  if inside t k (y * stride_y + a) (x * stride_x + b)
  then [(z, key (position t (c + i) (y * stride_y + a - top) (x * stride_x + b - left)))] else [].
Proof.
  unfold reach', reach, inside, position. cbn [Convolution.top Convolution.left k kernel_at].
  repeat (rewrite <- ?Nat2N.inj_mul, <- ?Nat2N.inj_add, <- ?Nat2N.inj_sub).
  rewrite key_binary, !of_leb, !of_ltb. reflexivity.
Qed.

Lemma reach_one c y x tap :
  filter (fun w => negb (fst w =? 0)%Z) (reach' c y x tap) =
  (if weighs tap then reach' c y x tap else []) /\
  length (reach' c y x tap) <= 1.
Proof.
  destruct tap as [[[i a] b] z]. unfold reach', reach, weighs. cbn [snd].
  destruct (_ && _ && _ && _); cbn [filter fst length].
  - split; [|lia]. now destruct (negb (z =? 0)%Z).
  - split; [|lia]. now destruct (negb (z =? 0)%Z).
Qed.

Lemma reach_few c y x taps : length (flat_map (reach' c y x) taps) <= length taps.
Proof.
  induction taps as [|tap taps IH]; [apply le_n|]. cbn [flat_map length]. rewrite length_app.
  generalize (proj2 (reach_one c y x tap)). lia.
Qed.

Lemma make_strip o taps b : map strip (make (o, taps) b) = make (o, filter weighs taps) b.
Proof.
  destruct b as [? b]. unfold make, outputs_of. rewrite map_flat. apply flat_ext. intros y _.
  rewrite map_map. apply map_ext. intros x. cbn [strip]. f_equal. apply filter_flat. intros tap.
  apply reach_one.
Qed.

Lemma make_few o taps b : Forall (fun u => terms_of u <= S (length taps)) (make (o, taps) b).
Proof.
  destruct b as [? b]. unfold make, outputs_of. apply Forall_flat_map, Forall_forall. intros y _.
  apply Forall_map, Forall_forall.
  intros x _. unfold terms_of. cbn [length].
  generalize (reach_few (o / N.of_nat shared * N.of_nat per)%N y x taps).
  unfold reach'. lia.
Qed.

Lemma make_linear o taps b : Forall (fun u =>
  exists ws bs, u = CLinear ws bs over) (make (o, taps) b).
Proof.
  destruct b as [? b]. unfold make, outputs_of. apply Forall_flat_map, Forall_forall. intros y _.
  apply Forall_map, Forall_forall. intros x _. eauto.
Qed.

Lemma make_length o taps b : length (make (o, taps) b) = h * w.
Proof.
  assert (G : forall (f : N -> N -> cunit) l m, length (flat_map (fun y =>
    map (f y) l) m) = length m * length l).
  { intros f l m. induction m as [|y m IH]; [reflexivity
      |]. cbn [flat_map length]. rewrite length_app, length_map, IH. lia. }
  destruct b as [? b]. unfold make, outputs_of. rewrite G. unfold upto.
  now rewrite !length_map, !length_seq.
Qed.

(** Weight and bias of an output, over 2^100. *)
Let W (o : nat) (s : N * N * N) : Z := units_at file (weights_at win) (o * length (spots per rows
  cols) + spot_index rows cols s).
Let B (o : nat) : Z := units_at file (bias_at win) o.
Let full (o : nat) : list cunit :=
  make (N.of_nat o, map (fun s => (s, above (W o s))) (spots per rows cols))
  (N.of_nat o, above (B o)).

Hypothesis exact_weights : forall o s, o < outputs -> In s (spots per rows cols) ->
  exact_number (W o s).

Lemma terms_denoted o y x : o < outputs ->
  entries (flat_map (reach' (N.of_nat (o / shared * per)) (N.of_nat y) (N.of_nat x))
    (map (fun s => (s,
    above (W o s))) (spots per rows cols))) =
  taps t k o y x.
Proof.
  intros Ho. rewrite flat_map_map, spots_flat. unfold taps, entries.
  change (Convolution.inputs t k) with per. change (Convolution.rows k) with rows.
  change (Convolution.cols k) with cols. rewrite map_flat. apply flat_ext. intros i Hi.
  rewrite map_flat. apply flat_ext. intros a Ha. rewrite map_flat. apply flat_ext. intros b Hb.
  apply in_seq in Hi, Ha, Hb. rewrite reach_is. unfold tap.
  change (first_input t k o) with (o / shared * per). change (Convolution.stride_y k) with stride_y.
  change (Convolution.stride_x k) with stride_x. change (Convolution.top k) with top.
  change (Convolution.left k) with left. destruct (inside t k _ _); [|reflexivity].
  cbn [map fst snd]. rewrite num_key.
  change (weights k o i a b) with (ulps (units_at file (weights_at win) (((o * per + i) * rows +
    a) * cols + b))).
  rewrite <- exact_real by (apply exact_weights; [exact Ho|apply in_spots; lia]).
  unfold W, spot_index. rewrite spots_length, !Nat2N.id.
  replace (((o * per + i) * rows + a) * cols + b)
    with (o * (per * rows * cols) + ((i * rows + a) * cols + b)) by ring.
  reflexivity.
Qed.

Lemma full_near : Forall2 (near (real 1)) (convolution t k h w (divisor over) (fun _ =>
  [])) (map denote (flat_map full (seq 0 outputs))).
Proof.
  unfold convolution. change (Convolution.outputs k) with outputs.
  set (out := output t k (divisor over) []).
  replace (map _ (seq 0 (outputs * h * w))) with
    (flat_map (fun o => flat_map (fun y =>
      map (fun x => out o y x) (seq 0 w)) (seq 0 h)) (seq 0 outputs)).
  - rewrite map_flat. apply Forall2_flat. intros o Ho. apply in_seq in Ho.
    unfold full, make, outputs_of, upto. rewrite map_flat, flat_map_map. apply Forall2_flat.
    intros y _. rewrite !map_map. apply Forall2_map. intros x _. cbn [denote map].
    rewrite <- Nat2N.inj_div, <- Nat2N.inj_mul. unfold out, output. fold reach'.
    rewrite terms_denoted by lia. change (bias k o) with (ulps (B o)).
    destruct (near_real (B o)) as (N1 & _ & N3). unfold added. cbn [map]. rewrite app_nil_r.
    now constructor.
  - transitivity (flat_map (fun n => map (fun x =>
      out (n / h) (n mod h) x) (seq 0 w)) (seq 0 (outputs * h))).
    + rewrite seq_rows, flat_map_flat. apply flat_ext. intros o _. rewrite flat_map_map.
      apply flat_ext. intros y Hy. apply in_seq in Hy.
      rewrite Nat.div_add_l, Nat.div_small, Nat.add_0_r, Nat.add_comm, Nat.mod_add, Nat.mod_small
        by lia. reflexivity.
    + rewrite <- (rows_of (fun n x => out (n / h) (n mod h) x)). apply map_ext_in. intros n Hn.
      apply in_seq in Hn.
      rewrite (Nat.mul_comm h w), Nat.div_div; [reflexivity| |]; intros Z; rewrite Z in Hn; lia.
Qed.
End Conv.
