(** * Convolutions as units

    A tensor of shape [(channels, height, width)] is a block of consecutive units, row by row.
    [convolution] writes a two-dimensional convolution, with stride, zero padding and groups, as one
    [Sum] for each output; depthwise is [groups = channels], a dense layer is a 1x1 kernel on 1x1
    images. What else belongs to the sum is given with it: constant factors [fs] of all its inputs,
    for each output the units [others] that are added to it, and the bias.

    - [convolution_ideal], [convolution_textbook]: the exact value of each output is the textbook
      sum over input channels of the group and over the kernel, of the input padded with zeros;
    - [convolution_operands]: it reads units of the input tensor only (besides [others]), and none
      of the padding, so that padding adds no term and no rounding.

    Rests on Units.v. Stands behind [products] of layers.py. *)

From Coq Require Import Reals Lra Lia List Arith.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Sums operations.Units.
Import ListNotations.
Open Scope R_scope.

(** Sums of weights times units, all of them with the factors [fs] as well; units as they are. *)
Definition weighted (fs : list factor) (ws : list (R * nat)) : list (list factor * nat) :=
  map (fun w => (Times (fst w) :: fs, snd w)) ws.
Definition added (js : list nat) : list (list factor * nat) := weighted [] (map (pair 1) js).
Definition constants (bs : list R) : list term := map (pair []) bs.

(** A block of units, from number [first] on. *)
Record tensor := { first : nat; channels : nat; height : nat; width : nat }.

Definition position (t : tensor) (c y x : nat) : nat :=
  (first t + ((c * height t + y) * width t + x))%nat.
Definition units_of (t : tensor) : nat := (channels t * height t * width t)%nat.

(** Weights [(o, i, ky, kx)], one bias for each output channel; [top] and [left] rows and columns of
    zeros before the image, and as many after it as the output's shape asks for. *)
Record kernel := {
  weights : nat -> nat -> nat -> nat -> R; bias : nat -> R;
  outputs : nat; groups : nat; rows : nat; cols : nat;
  stride_y : nat; stride_x : nat; top : nat; left : nat
}.

Section Convolution.
Variables (t : tensor) (k : kernel) (out_height out_width : nat).

(** Input channels of a group, and the first one that output channel [o] reads. *)
Definition inputs : nat := (channels t / groups k)%nat.
Definition first_input (o : nat) : nat := (o / (outputs k / groups k) * inputs)%nat.

(** The input padded with zeros: row [y] and column [x] count from the padding's corner. *)
Definition inside (y x : nat) : bool :=
  ((top k <=? y) && (y <? top k + height t) && (left k <=? x) && (x <? left k + width t))%nat%bool.

Definition padded (r : nat -> R) (c y x : nat) : R :=
  if inside y x then r (position t c (y - top k) (x - left k)) else 0.

(** The textbook definition of output [(o, y, x)]; without the bias. *)
Definition correlated (r : nat -> R) (o y x : nat) : R :=
  over inputs (fun i => over (rows k) (fun a => over (cols k) (fun b =>
    weights k o i a b * padded r (first_input o + i) (y * stride_y k + a) (x * stride_x k + b)))).
Definition textbook (r : nat -> R) (o y x : nat) : R := correlated r o y x + bias k o.

(** Its terms: weight and unit, for the taps that lie in the image. *)
Definition tap (o y x i a b : nat) : list (R * nat) :=
  let u := (y * stride_y k + a)%nat in let v := (x * stride_x k + b)%nat in
  if inside u v then [(weights k o i a b, position t (first_input o + i) (u - top k) (v - left k))]
  else [].

Definition taps (o y x : nat) : list (R * nat) :=
  flat_map (fun i => flat_map (fun a => flat_map (tap o y x i a) (seq 0 (cols k))) (seq 0 (rows k)))
  (seq 0 inputs).

Definition output (fs : list factor) (others : list nat) (o y x : nat) : operation :=
  Sum (weighted fs (taps o y x) ++ added others) (constants [bias k o]).

(** All outputs, row by row; the [n]-th has [others n] added to it. *)
Definition convolution (fs : list factor) (others : nat -> list nat) : list operation :=
  map (fun n => output fs (others n) (n / (out_height * out_width)) (n / out_width mod out_height)
    (n mod out_width))
      (seq 0 (outputs k * out_height * out_width)).

(** ** The textbook value *)

Definition dot (r : nat -> R) (ws : list (R * nat)) : R :=
  total (map (fun wj => fst wj * r (snd wj)) ws).

Lemma dot_app r l1 l2 : dot r (l1 ++ l2) = dot r l1 + dot r l2.
Proof. unfold dot. now rewrite map_app, total_app. Qed.

Lemma dot_flat r (f : nat -> list (R * nat)) n : dot r (flat_map f (seq 0 n)) =
  over n (fun i => dot r (f i)).
Proof.
  induction n as [|n IH]; [reflexivity|].
  rewrite seq_S, flat_map_app, dot_app, IH, over_S. simpl. now rewrite app_nil_r.
Qed.

Lemma weighted_sum fs ws r : exact_sum (map (fun w =>
  (fst w, r (snd w))) (weighted fs ws)) = constant fs * dot r ws.
Proof.
  unfold exact_sum, dot, weighted. induction ws as [|[w j] ws IH]; [simpl; ring|]. cbn [map].
  rewrite !total_cons, IH.
  unfold exact, constant. cbn. ring.
Qed.

Lemma added_sum js r : exact_sum (map (fun w => (fst w, r (snd w))) (added js)) = total (map r js).
Proof.
  unfold added. rewrite weighted_sum. unfold constant, dot. cbn. rewrite map_map, Rmult_1_l.
  f_equal. apply map_ext.
  intros. cbn. ring.
Qed.

Lemma constants_sum bs : exact_sum (constants bs) = total bs.
Proof.
  unfold exact_sum, constants. rewrite map_map. induction bs as [|b bs IH]; [reflexivity|].
  cbn [map].
  rewrite !total_cons, IH. unfold exact, constant. cbn. ring.
Qed.

(* map: a convolution is its sums: stride, padding, groups *)
Theorem convolution_ideal fs others o y x v r :
  ideal (output fs others o y x) v r = constant fs * correlated r o y x + total (map r others) +
    bias k o.
Proof.
  cbn [ideal output]. unfold terms.
  rewrite map_app, !exact_sum_app, weighted_sum, added_sum, constants_sum.
  cbn [total fold_right]. rewrite Rplus_0_r. do 3 f_equal. unfold taps, correlated.
  rewrite dot_flat. apply over_ext. intros i _. rewrite dot_flat. apply over_ext. intros a _.
  rewrite dot_flat. apply over_ext. intros b _. unfold tap, padded. destruct inside.
  - unfold dot. simpl. ring.
  - unfold dot. simpl. ring.
Qed.

Theorem convolution_textbook o y x v r : ideal (output [] [] o y x) v r = textbook r o y x.
Proof. rewrite convolution_ideal. unfold textbook, constant. simpl. ring. Qed.

(** ** What it reads *)

Lemma position_in c y x : (c < channels t)%nat -> (y < height t)%nat -> (x < width t)%nat ->
  (first t <= position t c y x < first t + units_of t)%nat.
Proof.
  intros Hc Hy Hx. unfold position, units_of. split; [lia|].
  assert (A : (c * height t + y < channels t * height t)%nat) by nia. nia.
Qed.

(* map: which units the sums of a convolution read *)
Theorem convolution_operands fs others o y x j : (o < outputs k)%nat ->
  (outputs k mod groups k = 0)%nat -> (channels t mod groups k = 0)%nat ->
  In j (operands (output fs others o y x)) -> (first t <= j < first t + units_of t)%nat \/
    In j others.
Proof.
  intros Ho Go Gi Hj. cbn [operands output] in Hj. rewrite map_app in Hj. apply in_app_or in Hj.
  destruct Hj as [Hj|Hj]; [left|right].
  2: { unfold added, weighted in Hj. rewrite !map_map, map_id in Hj. exact Hj. }
  unfold weighted in Hj. rewrite map_map in Hj. apply in_map_iff in Hj.
  destruct Hj as ([w j'] & E & Hj).
  cbn [snd] in E. subst j'. unfold taps in Hj. apply in_flat_map in Hj.
  destruct Hj as (i & Hi & Hj). apply in_flat_map in Hj. destruct Hj as (a & _ & Hj).
  apply in_flat_map in Hj. destruct Hj as (b & _ & Hj). apply in_seq in Hi. unfold tap in Hj.
  destruct (inside _ _) eqn:I; [|easy]. destruct Hj as [[= _ <-]|[]]. unfold inside in I.
  rewrite !Bool.andb_true_iff, !Nat.leb_le, !Nat.ltb_lt in I. apply position_in; [|lia|lia].
  assert (G : groups k <> 0%nat) by (intros G; rewrite G in Go; simpl in Go; lia).
  assert (C : channels t = (inputs * groups k)%nat).
  { unfold inputs. rewrite (Nat.div_mod (channels t) (groups k) G) at 1. rewrite Gi. lia. }
  assert (Q : outputs k = (outputs k / groups k * groups k)%nat).
  { rewrite (Nat.div_mod (outputs k) (groups k) G) at 1. rewrite Go. lia. }
  set (q := (outputs k / groups k)%nat) in *.
  assert (N : q <> 0%nat) by (intros N; rewrite N in Q; simpl in Q; lia).
  assert (S : (o / q < groups k)%nat) by (apply Nat.div_lt_upper_bound; [exact N|lia]).
  rewrite C. unfold first_input. fold q. nia.
Qed.

(** ** Output [(o, y, x)] is where row by row order puts it. *)

Theorem convolution_nth fs others o y x : (o < outputs k)%nat -> (y < out_height)%nat ->
  (x < out_width)%nat ->
  let n := ((o * out_height + y) * out_width + x)%nat in
  nth_error (convolution fs others) n = Some (output fs (others n) o y x).
Proof.
  intros Ho Hy Hx n. unfold convolution. rewrite nth_error_map.
  assert (A : (o * out_height + y < outputs k * out_height)%nat) by nia.
  assert (B : (n < outputs k * out_height * out_width)%nat) by (unfold n; nia).
  assert (Sq : nth_error (seq 0 (outputs k * out_height * out_width)) n = Some n).
  { rewrite (nth_error_nth' _ 0%nat) by (rewrite length_seq; exact B).
    now rewrite seq_nth by exact B. }
  rewrite Sq. cbn [option_map]. f_equal.
  assert (D : (n / out_width = o * out_height + y)%nat).
  { unfold n. rewrite Nat.div_add_l by lia. rewrite Nat.div_small by exact Hx. lia. }
  f_equal.
  - rewrite (Nat.mul_comm out_height), <- Nat.div_div by lia. rewrite D, Nat.div_add_l by lia.
    rewrite Nat.div_small by exact Hy. lia.
  - rewrite D, Nat.add_comm, Nat.mod_add by lia. now apply Nat.mod_small.
  - unfold n. rewrite Nat.add_comm, Nat.mod_add by lia. now apply Nat.mod_small.
Qed.
End Convolution.
